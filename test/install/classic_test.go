//go:build linux

package install

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/google/go-cmp/cmp"
)

// Installed over the classic plugin, with its pods running: they are reachable all the time, the configuration stays
// the operator's, and as long as no command has taken the pods over there is a way back.
func TestInstallationOverTheClassicPlugin(t *testing.T) {
	for _, found := range []string{"v1.0.33/bridge", "v1.6.48/bridge", "v1.4.59/tunnel", "v1.6.48/transparent"} {
		t.Run(found, func(t *testing.T) {
			m := newMachine(t, distributions[0], classicFabric())
			m.release(older, "/media/old")
			mode := filepath.Base(found)
			conf := fmt.Sprintf(`{"cniVersion":"0.3.0","name":"azure","plugins":[{"type":"azure-vnet","mode":%q,"bridge":"azure0","ipam":{"type":"azure-vnet-ipam"}},{"type":"portmap","capabilities":{"portMappings":true},"snat":true}]}`, mode)
			m.write(conflist, conf)
			for _, p := range []string{"azure-vnet", "azure-vnet-ipam"} {
				m.write(bin+p, "#!/bin/sh\necho the classic plugin\n")
			}
			pods := m.classic(filepath.Join("../../ipam/testdata/classic", found), mode)
			m.reachable(pods...)
			watched := m.watch(pods)

			m.installs("--rollback goes back to before", "--from", "/media/old")
			m.installs("went back from "+older+" to before", "--rollback")
			if s := m.run(nil, bin+"azure-vnet"); !strings.Contains(s.text, "the classic plugin") {
				t.Errorf("the classic plugin is not back: %s", s.text)
			}
			m.installs("went back from before to "+older, "--rollback")
			if m.read(conflist) != conf || !m.there(conflist+".new") {
				t.Error("the operator's configuration does not stay, or the new one is not beside it")
			}
			fresh := m.add()
			m.reachable(fresh)
			m.refuses(1, "4 pods are connected", "--rollback")
			if pings := watched(); pings < 10 {
				t.Errorf("the pods were looked at %d times only", pings)
			}
			for _, p := range append(pods, fresh) {
				m.must(p.Del(m.ctx))
			}
			m.installs("removed", "--uninstall")
			if m.read(conflist) != conf {
				t.Error("the operator's configuration is gone")
			}
		})
	}
}

// After the takeover the way back of docs/migration.md gives the host its network back: its address and its way out on
// the master, and nothing of ours.
func TestTheWayBackAfterATakeOver(t *testing.T) {
	for _, found := range []string{"v1.0.33/bridge", "v1.4.59/tunnel", "v1.6.48/transparent"} {
		t.Run(found, func(t *testing.T) {
			m := newMachine(t, distributions[0], classicFabric())
			m.release(older, "/media/old")
			mode := filepath.Base(found)
			conf := fmt.Sprintf(`{"cniVersion":"0.3.0","name":"azure","plugins":[{"type":"azure-vnet","mode":%q,"bridge":"azure0","ipam":{"type":"azure-vnet-ipam"}}]}`, mode)
			m.write(conflist, conf)
			for _, p := range []string{"azure-vnet", "azure-vnet-ipam"} {
				m.write(bin+p, "#!/bin/sh\necho the classic plugin\n")
			}
			pods := m.classic(filepath.Join("../../ipam/testdata/classic", found), mode)
			m.installs("--rollback goes back to before", "--from", "/media/old")
			fresh := m.add()
			m.reachable(fresh)
			m.refuses(1, "4 pods are connected", "--rollback")

			if mode == "tunnel" { // by hand, with the pods that a drain leaves
				if s := m.run(nil, bin+"azure-vnet", "cleanup", "--yes"); s.code != 0 {
					t.Fatalf("cleanup: %s", s.text)
				}
			} else {
				for _, p := range append(pods, fresh) {
					m.must(p.Del(m.ctx))
				}
			}
			m.installs("went back from "+older+" to before", "--rollback")
			for _, p := range []string{"azure-vnet", "azure-vnet-ipam"} {
				for _, kind := range []string{"", ".bak"} {
					if m.there("/run/" + p + ".json" + kind) {
						t.Errorf("%s.json%s is left, which the classic plugin cannot read", p, kind)
					}
				}
			}
			if s := m.run(nil, bin+"azure-vnet"); !strings.Contains(s.text, "the classic plugin") || m.read(conflist) != conf {
				t.Errorf("the classic plugin is not back: %s", s.text)
			}
			after := m.network()
			for _, ours := range []string{"azure0", "azv", "azure-vnet", "10.240.0.5"} { // the classic rules' empty chains stay
				if strings.Contains(after, ours) {
					t.Errorf("%s is left:\n%s", ours, after)
				}
			}
			for _, hosts := range []string{"default via 10.240.0.1 dev eth0", "local 10.240.0.4 dev eth0"} {
				if !strings.Contains(after, hosts) {
					t.Errorf("the host does not have %q:\n%s", hosts, after)
				}
			}
		})
	}
}

// A node that works, and that the new plugins could not serve, keeps what it has; the message names the field. Who
// insists has his way.
func TestANodeThatCannotBeServedKeepsItsPlugin(t *testing.T) {
	for field, plugin := range map[string]string{
		"ipam.type=azure-cns":   `{"type":"azure-vnet","mode":"transparent","ipsToRouteViaHost":["169.254.20.10"],"ipam":{"type":"azure-cns"}}`,
		"multiTenancy=true":     `{"type":"azure-vnet","mode":"bridge","multiTenancy":true,"ipam":{"type":"azure-vnet-ipam"}}`,
		"executionMode=v4swift": `{"type":"azure-vnet","mode":"transparent","executionMode":"v4swift","ipam":{"type":"azure-vnet-ipam"}}`,
		"mode=transparent-vlan": `{"type":"azure-vnet","mode":"transparent-vlan","ipam":{"type":"azure-vnet-ipam"}}`,
		"ipv6Mode=ipv6nat":      `{"type":"azure-vnet","ipv6Mode":"ipv6nat","ipam":{"type":"azure-vnet-ipam"}}`,
		"":                      `{"type":"azure-vnet","logTarget":"logfile","disableHairpinOnHostInterface":true,"logLevel":"Info","ipam":{"type":"azure-vnet-ipam"}}`,
	} {
		t.Run(field, func(t *testing.T) {
			m := newMachine(t, distributions[0], classicFabric())
			m.release(older, "/media/old")
			m.write(conflist, `{"cniVersion":"0.3.0","name":"azure","plugins":[`+plugin+`]}`)
			for _, p := range []string{"azure-vnet", "azure-vnet-ipam"} {
				m.write(bin+p, "#!/bin/sh\necho the classic plugin\n")
			}
			if field == "" {
				m.installs("installed "+older, "--from", "/media/old")
				return
			}
			before := m.files()
			m.refuses(3, field, "--dry-run", "--from", "/media/old")
			m.refuses(3, field, "--from", "/media/old")
			if diff := cmp.Diff(before, m.files()); diff != "" {
				t.Errorf("files changed (-before +after):\n%s", diff)
			}
			m.installs(field, "--force", "--from", "/media/old")
			m.wantVersion(older)
		})
	}
}

// The installer's last word comes when calls of the former programs have ended: as long as one is under way it has its
// state.
func TestTheInstallerOutlastsCallsOfTheFormerPlugin(t *testing.T) {
	m := newMachine(t, distributions[0], classicFabric())
	m.release(older, "/media/old")
	m.copy(m.path("/bin/sleep"), bin+"azure-vnet-ipam", 0o755)
	call := m.node.Command(m.ctx, bin+"azure-vnet-ipam", "3600")
	m.must(call.Start())
	former := m.read(bin + "azure-vnet-ipam")
	done := make(chan said, 1)
	go func() { done <- m.installer("--from", "/media/old") }()
	for m.read(bin+"azure-vnet-ipam") == former {
		m.must(m.ctx.Err())
	}
	select {
	case s := <-done:
		t.Fatalf("the installer did not wait: %s", s.text)
	case <-time.After(2 * time.Second): // it can only be too short
	}
	m.must(call.Process.Kill())
	_ = call.Wait()
	if s := <-done; s.code != 0 || strings.Contains(s.text, "under way") {
		t.Errorf("exit %d: %s", s.code, s.text)
	}
}

// pace is how often each pod is looked at. A flood would lose pings by itself.
const pace = 20 * time.Millisecond

// watch pings all pods, there and back, until the function that it returns is called, which says how often. Any ping
// that is not answered is a failure.
func (m *machine) watch(pods []*node.Pod) (stop func() int64) {
	var done atomic.Bool
	var pings atomic.Int64
	var wg sync.WaitGroup
	for _, p := range pods {
		wg.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for !done.Load() && !m.Failed() {
				m.reachable(p)
				pings.Add(1)
				<-tick.C
			}
		})
	}
	m.Cleanup(func() { done.Store(true); wg.Wait() })
	return func() int64 { done.Store(true); wg.Wait(); return pings.Load() }
}

// classicFabric is the VM that the classic plugin's files were found on.
func classicFabric() fabric.Config {
	cfg := fabric.Default(1, 0)
	nic := &cfg.VMs[0].NICs[0]
	nic.MAC = net.HardwareAddr{0x00, 0x0d, 0x3a, 0x11, 0x22, 0x33}
	for a := addr("10.240.0.5"); len(nic.Pods) < 255; a = a.Next() {
		nic.Pods = append(nic.Pods, a)
	}
	return cfg
}

// host runs a command of the machine's, with its programs, in the VM.
func (m *machine) host(ns *fabric.Namespace, stdin, line string) {
	m.Helper()
	args := strings.Fields(line)
	cmd := ns.Command(m.ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.Fatalf("%s: %v: %s", line, err, out)
	}
}

// classic makes what the classic plugin left, from its state and its rules: three pods.
func (m *machine) classic(dir, mode string) (pods []*node.Pod) {
	m.Helper()
	vm := m.fabric.VMs[0]
	if mode != "transparent" {
		for _, line := range []string{
			"ip link add azure0 type bridge stp_state 0", "ip link set azure0 up", "ip addr del 10.240.0.4/16 dev eth0",
			"ip link set eth0 master azure0",
			"ip link set azure0 address 00:0d:3a:11:22:33", "bridge link set dev eth0 hairpin on", "ip addr add 10.240.0.4/16 dev azure0",
			"ip route add default via 10.240.0.1 dev azure0",
		} {
			m.host(vm.Ns, "", line)
		}
	}
	m.host(vm.Ns, "", "sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0")
	var state struct {
		Network struct {
			ExternalInterfaces map[string]struct {
				Networks map[string]struct {
					Endpoints map[string]struct {
						HostIfName, NetworkNameSpace, ContainerID string
						MacAddress                                []byte
						IPAddresses                               []struct{ IP netip.Addr }
					}
				}
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "azure-vnet.json"))
	m.must(err)
	m.must(json.Unmarshal(raw, &state))
	endpoints := state.Network.ExternalInterfaces["eth0"].Networks["azure"].Endpoints
	text := string(raw)
	list := m.list()
	for _, id := range []string{"pod0-f0f-eth0", "pod1-f0f-eth0", "pod2-f0f-eth0"} {
		e := endpoints[id]
		ns, err := vm.NewPod(id[:4])
		m.must(err)
		text = strings.ReplaceAll(text, `"`+e.NetworkNameSpace+`"`, `"`+ns.Path()+`"`)
		p := &node.Pod{Node: m.node, ID: e.ContainerID, IfName: "eth0", NS: ns, List: list, IP: e.IPAddresses[0].IP}
		m.connect(p, mode, e.HostIfName, net.HardwareAddr(e.MacAddress).String())
		pods = append(pods, p)
	}
	m.write("/run/azure-vnet.json", text)
	ipam, err := os.ReadFile(filepath.Join(dir, "azure-vnet-ipam.json"))
	m.must(err)
	m.write("/run/azure-vnet-ipam.json", string(ipam))
	listing, err := os.ReadFile(filepath.Join(dir, "host.ebtables-nat.txt"))
	m.must(err)
	_, rules, found := strings.Cut(string(listing), "*nat\n")
	if !found {
		m.Fatal("the listing has no rules")
	}
	m.host(vm.Ns, "*nat\n"+rules, "ebtables-nft-restore")
	return pods
}

// connect makes one pod's links as the classic plugin did.
func (m *machine) connect(p *node.Pod, mode, veth, mac string) {
	m.Helper()
	host := []string{"ip link add " + veth + " type veth peer name eth0 address " + mac + " netns " + p.NS.Path(), "ip link set " + veth +
		" up"}
	pod := []string{"ip link set lo up", "ip link set eth0 up"}
	if mode == "transparent" {
		host = append(host, "ip link set "+veth+" address aa:aa:aa:aa:aa:aa", "sysctl -qw net.ipv4.conf."+veth+".proxy_arp=1",
			fmt.Sprintf("ip route add %s dev %s proto static", p.IP, veth))
		pod = append(pod, "ip addr add "+p.IP.String()+"/16 dev eth0 noprefixroute", "ip route add 169.254.1.1 dev eth0 proto static scope link",
			"ip route add default via 169.254.1.1 dev eth0 proto static", "ip neigh add 169.254.1.1 lladdr aa:aa:aa:aa:aa:aa dev eth0 nud permanent")
	} else {
		host = append(host, "ip link set "+veth+" master azure0", "bridge link set dev "+veth+" hairpin on")
		if mode == "bridge" {
			host = append(host, fmt.Sprintf("ip neigh replace %s lladdr %s dev azure0 nud permanent", p.IP, mac))
		}
		pod = append(pod, "ip addr add "+p.IP.String()+"/16 dev eth0", "ip route add default via 10.240.0.1 dev eth0 proto static")
	}
	for _, line := range host {
		m.host(m.fabric.VMs[0].Ns, "", line)
	}
	for _, line := range pod {
		m.host(p.NS, "", line)
	}
}
