//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// A node of the classic plugin, rebuilt from what was found on one (state files, links, routes, neighbours, rules of
// ebtables; three versions), is taken over with its pods running.
func TestTakeOverFromTheClassicPlugin(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(classicDir, "*", "*"))
	if err != nil || len(dirs) != 7 {
		t.Fatalf("%v, %v", dirs, err)
	}
	for _, dir := range dirs {
		for _, first := range []string{"ADD", "DEL", "GC"} {
			t.Run(strings.TrimPrefix(dir, classicDir+"/")+" by "+first, func(t *testing.T) {
				l := newLab(t, classicFabric())
				c := l.classicNode(dir)
				before := ttls[c.mode]
				if c.mode == "tunnel" { // even what is for the host goes through the fabric
					before.ownHost = 63
				}
				c.matrix(c.pods, before)
				// Setting up by hand let frames out before there were rules, and the classic ones send ARP replies of
				// the fabric back to it.
				l.must(l.forgive())
				c.takeOver(first)
			})
		}
	}
}

// classicNode is a VM as the classic plugin leaves it.
type classicNode struct {
	*lab
	n       *node.Node
	mode    string
	version string
	list    map[string]any
	pods    []*node.Pod
}

type classicEndpoint struct {
	HostIfName, NetworkNameSpace, ContainerID string
	MacAddress                                []byte
	IPAddresses                               []struct{ IP netip.Addr }
}

func (l *lab) classicNode(dir string) *classicNode {
	l.Helper()
	n := l.nodes[0]
	c := &classicNode{lab: l, n: n, mode: filepath.Base(dir), version: filepath.Base(filepath.Dir(dir))}
	c.list = map[string]any{"mode": c.mode, "bridge": nil}
	var state struct {
		Network struct {
			ExternalInterfaces map[string]struct {
				Networks map[string]struct{ Endpoints map[string]classicEndpoint }
			}
		}
	}
	text := l.read(filepath.Join(dir, "azure-vnet.json"))
	l.must(json.Unmarshal([]byte(text), &state))
	l.place(n, dir, "azure-vnet-ipam.json")
	if c.mode != "transparent" {
		for _, line := range []string{
			"ip link add azure0 type bridge stp_state 0", "ip link set azure0 up", "ip addr del 10.240.0.4/16 dev eth0",
			"ip link set eth0 master azure0",
			"ip link set azure0 address 00:0d:3a:11:22:33", "bridge link set dev eth0 hairpin on", "ip addr add 10.240.0.4/16 dev azure0",
			"ip route add default via 10.240.0.1 dev azure0",
		} {
			l.run(n, line)
		}
	}
	l.run(n, "sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0")
	list := l.list(n, c.list)
	endpoints := state.Network.ExternalInterfaces["eth0"].Networks["azure"].Endpoints
	for _, id := range []string{"pod0-f0f-eth0", "pod1-f0f-eth0", "pod2-f0f-eth0"} {
		e := endpoints[id]
		ns, err := n.VM.NewPod(id[:4])
		l.must(err)
		text = strings.ReplaceAll(text, `"`+e.NetworkNameSpace+`"`, `"`+ns.Path()+`"`)
		p := &node.Pod{Node: n, ID: e.ContainerID, IfName: "eth0", NS: ns, List: list, IP: e.IPAddresses[0].IP}
		c.connect(p, e.HostIfName, net.HardwareAddr(e.MacAddress).String())
		c.podRun(p, "sysctl -qw "+unhurried("eth0"))
		c.pods = append(c.pods, p)
	}
	// The classic rules send the answers back to the fabric, so nobody shall ask again before they are gone, however slow
	// the machine is.
	for _, device := range []string{"eth0", "azure0"} {
		if device == "eth0" || c.mode != "transparent" {
			l.run(n, "sysctl -qw "+unhurried(device))
		}
	}
	l.must(os.WriteFile(filepath.Join(n.DataDir(), "azure-vnet.json"), []byte(text), 0o600))
	_, rules, found := strings.Cut(l.read(filepath.Join(dir, "host.ebtables-nat.txt")), "*nat\n")
	if !found {
		l.Fatal("the listing has no rules")
	}
	l.input(n, "*nat\n"+rules, "ebtables-nft-restore")
	return c
}

// unhurried are the settings of an interface that does not ask again soon where a neighbour is.
func unhurried(device string) string {
	return "net.ipv4.neigh." + device + ".base_reachable_time_ms=3600000 net.ipv4.neigh." + device + ".delay_first_probe_time=3600"
}

// connect makes what the listings show of a pod.
func (c *classicNode) connect(p *node.Pod, veth, mac string) {
	c.Helper()
	host := []string{
		"ip link add " + veth + " type veth peer name eth0 address " + mac + " netns " + p.NS.Path(), "ip link set " + veth + " up",
	}
	pod := []string{"ip link set lo up", "ip link set eth0 up"}
	switch {
	case c.mode != "transparent":
		host = append(host, "ip link set "+veth+" master azure0", "bridge link set dev "+veth+" hairpin on")
		if c.mode == "bridge" {
			host = append(host, fmt.Sprintf("ip neigh replace %s lladdr %s dev azure0 nud permanent", p.IP, mac))
		}
		pod = append(pod, "ip addr add "+p.IP.String()+"/16 dev eth0", "ip route add default via 10.240.0.1 dev eth0 proto static")
	case c.version == "v1.0.33":
		host = append(host, "sysctl -qw net.ipv4.conf."+veth+".proxy_arp=1", fmt.Sprintf("ip route add %s dev %s proto static", p.IP, veth))
		pod = append(pod, "ip addr add "+p.IP.String()+"/16 dev eth0", "ip route add default via 10.240.0.1 dev eth0 proto static")
	default:
		host = append(host, "ip link set "+veth+" address aa:aa:aa:aa:aa:aa", "sysctl -qw net.ipv4.conf."+veth+".proxy_arp=1",
			fmt.Sprintf("ip route add %s dev %s proto static", p.IP, veth))
		pod = append(pod, "ip addr add "+p.IP.String()+"/16 dev eth0 noprefixroute", "ip route add 169.254.1.1 dev eth0 proto static scope link",
			"ip route add default via 169.254.1.1 dev eth0 proto static", "ip neigh add 169.254.1.1 lladdr aa:aa:aa:aa:aa:aa dev eth0 nud permanent")
	}
	for _, line := range host {
		c.run(c.n, line)
	}
	for _, line := range pod {
		c.podRun(p, line)
	}
	// The bridge hears of a port's carrier in a work queue, and until then drops what is for it.
	for end := time.Now().Add(10 * time.Second); c.mode != "transparent" &&
		!strings.Contains(c.run(c.n, "bridge link show dev "+veth), "state forwarding"); {
		if time.Now().After(end) {
			c.Fatalf("%s does not come up", veth)
		}
	}
}

// matrix: everybody reaches everybody.
func (c *classicNode) matrix(pods []*node.Pod, ttl ways) {
	c.Helper()
	c.reach("host", c.n.VM.Ns, "gateway", gateway, 64)
	for i, p := range pods {
		c.reach("pod "+p.ID[:4], p.NS, "gateway", gateway, ttl.fabric)
		c.reach("pod "+p.ID[:4], p.NS, "own host", addr("10.240.0.4"), ttl.ownHost)
		c.reach("fabric", c.fabric.Ns(), "pod "+p.ID[:4], p.IP, ttl.fromFabric)
		if len(pods) > 1 {
			c.reach("pod "+p.ID[:4], p.NS, "pod", pods[(i+1)%len(pods)].IP, ttl.samePod)
		}
	}
}

func (c *classicNode) takeOver(first string) {
	c.Helper()
	n, pods := c.n, c.pods
	streams := []*stream{c.stream(pods[1].NS, c.fabric.Ns(), remoteHost), c.stream(pods[1].NS, pods[2].NS, pods[2].IP),
		c.stream(n.VM.Ns, pods[1].NS, pods[1].IP)}
	list := c.list
	switch first {
	case "DEL":
		c.must(pods[0].Del(c.ctx))
		pods = pods[1:]
	case "GC":
		valid := []any{}
		for _, p := range pods[1:] {
			valid = append(valid, map[string]string{"containerID": p.ID, "ifname": "eth0"})
		}
		conf := map[string]any{"cni.dev/valid-attachments": valid}
		for k, v := range list {
			conf[k] = v
		}
		c.wantSuccess(c.exec(n, node.Call{Plugin: "azure-vnet", Command: "GC", Conf: c.conf(n, conf)}))
		pods = pods[1:]
	}
	fresh := c.add(n, c.lab.list(n, list))
	for _, p := range c.pods {
		if fresh.IP == p.IP && slices.Contains(pods, p) {
			c.Fatalf("%s was given again", p.IP)
		}
	}
	c.matrix(append(slices.Clone(pods), fresh), ttls[c.mode])
	for _, s := range streams {
		s.flows()
	}
	if rules := c.run(n, "ebtables-nft-save"); strings.Contains(rules, "-A ") {
		c.Errorf("rules of ebtables are left:\n%s", rules)
	}
	if kept, err := filepath.Glob(filepath.Join(n.DataDir(), "azure-vnet.json.classic-*")); err != nil || len(kept) != 1 {
		c.Errorf("the classic plugin's file is not kept: %v, %v", kept, err)
	}
	for _, p := range append(slices.Clone(pods), fresh) {
		prev := map[string]any{"cniVersion": "1.1.0", "interfaces": []any{map[string]any{"name": "eth0", "sandbox": p.NS.Path()}},
			"ips": []any{map[string]any{"interface": 0, "address": p.IP.String() + "/16"}}}
		if c.mode == "transparent" && p == fresh {
			prev["ips"] = []any{map[string]any{"interface": 0, "address": p.IP.String() + "/32"}}
		}
		conf := map[string]any{"prevResult": prev}
		for k, v := range list {
			conf[k] = v
		}
		c.wantSuccess(c.exec(n, node.Call{Plugin: "azure-vnet", Command: "CHECK", ContainerID: p.ID, NetNS: p.NS.Path(),
			IfName: "eth0", Conf: c.conf(n, conf)}))
	}
	c.must(fresh.Del(c.ctx))
	for _, p := range pods {
		c.must(p.Del(c.ctx))
	}
	if left := c.leftovers(n); len(left) > 0 {
		c.Errorf("left: %v", left)
	}
	for _, p := range c.pods {
		// A neighbour that is not permanent is the kernel's: it asked for who has the address when the pod was gone, and the
		// fabric answers for every address.
		if seen := c.run(n, "ip neigh show nud permanent") + c.run(n, "ip route") + c.run(n, "bridge fdb") + c.run(n,
			"ebtables-nft-save"); strings.Contains(seen, p.IP.String()+" ") {
			c.Errorf("something of %s is left:\n%s", p.IP, seen)
		}
	}
}

// stream is a TCP connection that has to live on.
type stream struct {
	l *lab
	c net.Conn
}

func (l *lab) stream(from, to *fabric.Namespace, at netip.Addr) *stream {
	l.Helper()
	listener, err := to.Listen("tcp", netip.AddrPortFrom(at, 7).String())
	l.must(err)
	l.Cleanup(func() { _ = listener.Close() })
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	s := &stream{l: l}
	s.c, err = from.Dial(l.ctx, "tcp", netip.AddrPortFrom(at, 7).String())
	l.must(err)
	l.Cleanup(func() { _ = s.c.Close() })
	s.flows()
	return s
}

// flows requires that an echo comes back.
func (s *stream) flows() {
	s.l.Helper()
	s.l.must(s.c.SetDeadline(time.Now().Add(20 * time.Second)))
	if _, err := s.c.Write([]byte("x")); err != nil {
		s.l.Errorf("%s → %s: %v", s.c.LocalAddr(), s.c.RemoteAddr(), err)
		return
	}
	if _, err := s.c.Read(make([]byte, 1)); err != nil {
		s.l.Errorf("%s → %s: %v", s.c.LocalAddr(), s.c.RemoteAddr(), err)
	}
}
