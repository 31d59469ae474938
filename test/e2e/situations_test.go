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

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// situation is one that an operator gets into: how it comes, what ADD, STATUS and doctor say about it, and what cures
// it.
type situation struct {
	plant func(s *sick)

	code   uint   // ADD's; 0 works
	says   string // ADD's message, or its remedy
	status int    // 0 is ready

	check, level, names, remedy string // doctor's; no level is that it is content
	cure                        func(s *sick, remedy string)

	left string // a check that may find something afterwards
}

// sick is a node in a situation.
type sick struct {
	*lab
	n      *node.Node
	fields map[string]any
	file   string // the configuration's
	raw    string // instead of it
	tries  int
	pods   []*node.Pod
	end    func() // of what stands in the way
}

func (s *sick) conf() []byte {
	if s.raw != "" {
		return []byte(s.raw)
	}
	return s.lab.conf(s.n, s.fields)
}

func (s *sick) try(command string) node.Reply {
	s.Helper()
	s.tries++
	ns, err := s.n.VM.NewPod(fmt.Sprintf("pod-%d", s.tries))
	s.must(err)
	return s.exec(s.n, node.Call{Plugin: "azure-vnet", Command: command, ContainerID: fmt.Sprintf("c%d", s.tries), NetNS: ns.Path(),
		IfName: "eth0", Conf: s.conf()})
}

func (s *sick) doctor(args ...string) (diagnosis, int) {
	s.Helper()
	s.must(os.WriteFile(s.file, s.conf(), 0o600))
	mounts := s.n.Mounts
	if s.n.Mounts = undisturbed; mounts != "" {
		s.n.Mounts += " && " + mounts
	}
	r, err := s.n.Operator(s.ctx, "azure-vnet", append([]string{"doctor", "-o", "json", "--config", s.file}, args...)...)
	s.n.Mounts = mounts
	s.must(err)
	var d diagnosis
	oneDocument(s.T, r.Stdout, &d)
	return d, r.Exit
}

// lists makes the host agent list a NIC.
func (s *sick) lists(mac net.HardwareAddr, subnets ...ipamtest.Subnet) {
	s.n.VM.Agent.SetInterfaces(ipamtest.Interface{MAC: mac, Primary: true, Subnets: subnets})
}

// asAssigned makes it list what the fabric assigned.
func (s *sick) asAssigned(string) {
	nic := s.n.VM.Config.PrimaryNIC()
	s.lists(nic.MAC, ipamtest.Subnet{Prefix: nic.Prefix, Primary: nic.Address, Secondary: nic.Pods})
}

func agentWell(s *sick, _ string) { s.n.VM.Agent.SetFault(ipamtest.Fault{}) }

// own are plugins of the node's alone.
func (s *sick) own() string {
	s.Helper()
	bin := filepath.Join(s.n.Dir, "bin")
	s.must(os.Mkdir(bin, 0o755))
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		s.sh(fmt.Sprintf("cp %s %s/", filepath.Join(os.Getenv("AZURE_CNI_BIN"), plugin), bin)) // the child has closed it when it is executed
	}
	s.n.Path[0] = bin
	return bin
}

// file writes a file of Azure Stack.
func (s *sick) masFile(text string) { s.must(os.WriteFile(s.mas(), []byte(text), 0o600)) }

func (s *sick) mas() string { return filepath.Join(s.n.Dir, "interfaces.json") }

func (s *sick) masListing() string {
	nic := s.n.VM.Config.PrimaryNIC()
	type address struct {
		Address   string
		IsPrimary bool
	}
	addrs := []address{{nic.Address.String(), true}}
	for _, a := range nic.Pods {
		addrs = append(addrs, address{a.String(), false})
	}
	b, err := json.Marshal(map[string]any{"Interfaces": []any{map[string]any{"MacAddress": nic.MAC.String(), "IsPrimary": true,
		"IPSubnets": []any{map[string]any{"Prefix": nic.Prefix.Masked().String(), "IPAddresses": addrs}}}}})
	s.must(err)
	return string(b)
}

// ipam sets a value of the configuration's section; nil takes it away.
func (s *sick) ipam(key string, value any) {
	section := map[string]any{"type": "azure-vnet-ipam", "queryInterval": 0.001} // who was cured does not want to wait
	if s.fields["ipam"] = section; value != nil {
		section[key] = value
	}
}

func (s *sick) sh(line string) {
	s.Helper()
	if out, err := s.n.VM.Ns.Command(s.ctx, "/bin/sh", "-c", line).CombinedOutput(); err != nil {
		s.Fatalf("%s: %v: %s", line, err, out)
	}
}

// stack makes the node one of Azure Stack.
func (s *sick) stack() {
	s.fields["ipam"] = map[string]any{"type": "azure-vnet-ipam", "environment": "mas", "interfacesFile": s.mas(), "queryInterval": 0.001}
}

// connect gives a pod a network before it gets difficult.
func (s *sick) connect(n int) {
	s.Helper()
	for range n {
		s.pods = append(s.pods, s.add(s.n, s.list(s.n, s.fields)))
	}
}

// theirs gives addresses to containers of another network plugin, whose namespaces are there.
func (s *sick) theirs(n int) (end func()) {
	s.Helper()
	var all []*fabric.Namespace
	for i := range n {
		ns, err := s.n.VM.NewPod(fmt.Sprintf("theirs-%d", i))
		s.must(err)
		s.wantSuccess(s.exec(s.n, node.Call{Plugin: "azure-vnet-ipam", Command: "ADD", ContainerID: fmt.Sprintf("theirs%d", i),
			NetNS: ns.Path(), IfName: "eth0",
			Conf: s.lab.conf(s.n, map[string]any{"name": "theirs", "type": "ptp"})}))
		all = append(all, ns)
	}
	return func() {
		var numbers []uint64
		for _, ns := range all {
			numbers = append(numbers, platform.NamespaceNumber(ns.Path()))
			s.must(ns.Close())
		}
		s.eventually("the namespaces are not gone", func() bool { // a child of another test that is just beginning holds copies of all open files
			gone, err := platform.GoneNamespaces(numbers)
			s.must(err)
			return len(gone) == len(all)
		})
	}
}

// shell does what a remedy says: the command behind the words.
func shell(begin string) func(*sick, string) {
	return func(s *sick, remedy string) {
		s.Helper()
		_, line, ok := strings.Cut(remedy, begin)
		if !ok {
			s.Fatalf("no %q in %q", begin, remedy)
		}
		line, _, _ = strings.Cut(begin+line, "; ")
		s.sh(line)
	}
}

func (s *sick) state(plugin string) string { return filepath.Join(s.n.DataDir(), plugin+".json") }

// situations are those of an operator of such a plugin: docs/testing.md.
var situations = map[string]situation{
	"the NIC has no secondary addresses": {
		plant: func(s *sick) {
			nic := s.n.VM.Config.PrimaryNIC()
			s.lists(nic.MAC, ipamtest.Subnet{Prefix: nic.Prefix, Primary: nic.Address})
		},
		code: 101, says: "no NIC of this VM has secondary addresses", status: 50,
		check: "host-agent", level: "failure", names: "no NIC of this VM has secondary addresses",
		remedy: "assign secondary addresses", cure: (*sick).cureAssigned,
	},
	"the host agent cannot be reached": {
		plant: func(s *sick) { s.sh("ip route add prohibit 168.63.129.16") },
		code:  11, says: "curl -m 5 'http://168.63.129.16", status: 50,
		check: "host-agent", level: "failure", names: "no address is known",
		remedy: "curl -m 5 'http://168.63.129.16/machine/plugins?comp=nmagent&type=getinterfaceinfov1'",
		cure:   func(s *sick, _ string) { s.sh("ip route del prohibit 168.63.129.16") },
	},
	"the host agent answers 503": {
		plant: func(s *sick) { s.n.VM.Agent.SetFault(ipamtest.Fault{Status: 503}) },
		code:  11, says: "503", status: 50, check: "host-agent", level: "failure", names: "503", remedy: "curl", cure: agentWell,
	},
	"a proxy answers in its place": {
		plant: func(s *sick) { s.n.VM.Agent.SetFault(ipamtest.Fault{Body: new("<html><body>sign in</body></html>")}) },
		code:  11, says: "a web page", status: 50, check: "host-agent", level: "failure", names: "a web page", remedy: "proxy", cure: agentWell,
	},
	"another URL in the configuration": {
		plant: func(s *sick) { s.ipam("queryUrl", "http://168.63.129.16:81/x") },
		code:  11, says: "curl -m 5 'http://168.63.129.16:81/x'", status: 50, check: "host-agent", level: "failure", names: ":81/x",
		remedy: "curl -m 5 'http://168.63.129.16:81/x'",
		cure:   func(s *sick, _ string) { s.ipam("", nil) },
	},
	"the source lists another machine's NIC": {
		plant: func(s *sick) {
			nic := s.n.VM.Config.PrimaryNIC()
			s.lists(net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 0xaa}, ipamtest.Subnet{Prefix: nic.Prefix, Primary: nic.Address, Secondary: nic.Pods})
		},
		code: 101, says: "ip -br link", status: 50, check: "host-agent", level: "failure", names: "00:0d:3a:00:00:aa",
		remedy: "ip -br link", cure: (*sick).cureAssigned,
	},
	"the pool is full": {
		plant: func(s *sick) { s.connect(4) },
		code:  100, says: "4 addresses, 4 in use", check: "pools", level: "failure", names: "0 of 4", remedy: "assign more addresses",
		cure: func(s *sick, _ string) { s.must(s.pods[0].Del(s.ctx)); s.must(s.pods[1].Del(s.ctx)) },
	},
	"the pool is full, and that is to be an error": {
		plant: func(s *sick) { s.ipam("statusWhenFull", "error"); s.connect(4) },
		code:  100, says: "4 addresses, 4 in use", status: 50, check: "pools", level: "failure", names: "0 of 4", remedy: "assign more addresses",
		cure: func(s *sick, _ string) { s.must(s.pods[0].Del(s.ctx)); s.must(s.pods[1].Del(s.ctx)) },
	},
	"the pool is full of another plugin's containers": {
		plant: func(s *sick) { s.end = s.theirs(4) },
		code:  100, says: "4 addresses, 4 in use", check: "pools", level: "failure", names: "0 of 4", remedy: "azure-vnet-ipam show",
		cure: func(s *sick, _ string) { s.end() },
		left: "addresses", // a new namespace may have the inode of one of theirs, which counts as alive
	},
	"another plugin's container is gone without a DEL": {
		plant: func(s *sick) { s.theirs(1)() },
		check: "addresses", level: "warning", names: "no network namespace of this host has it", remedy: "azure-vnet-ipam release",
		cure: func(s *sick, remedy string) { shell("/")(s, remedy+" --force") }, // it is younger than an ADD may take
	},
	"the subnet of the NIC has changed": {
		plant: func(s *sick) {
			s.connect(1)
			s.must(s.pods[0].Del(s.ctx))
			nic := s.n.VM.Config.PrimaryNIC()
			s.lists(nic.MAC, ipamtest.Subnet{Prefix: netip.MustParsePrefix("10.240.0.0/20"), Primary: nic.Address, Secondary: nic.Pods})
			s.sh("sed -i -E 's/(\"(refreshed|attempted)\":\")[^\"]*\"/\\12026-01-01T00:00:00Z\"/g' " + s.state("azure-vnet-ipam"))
		},
	},
	"the host has addresses of pods": {
		plant: func(s *sick) { s.sh("for i in 1 2 3 4; do ip addr add 10.240.1.$i/16 dev eth0; done") },
		code:  100, says: "azure-vnet host release", status: 50, check: "host-addresses", level: "failure",
		names: "10.240.1.1/16, 10.240.1.2/16", remedy: "host release --yes",
		cure: func(s *sick, remedy string) {
			s.n.Mounts = cloudInit(s.n)
			out, err := s.n.Command(s.ctx, "/bin/sh", "-c", remedy).CombinedOutput()
			if s.n.Mounts = ""; err != nil {
				s.Fatalf("%s: %v: %s", remedy, err, out)
			}
		},
	},
	"Azure Stack: the file is missing": {
		plant: (*sick).stack, code: 11, says: "write the file that the message names", status: 50,
		check: "host-agent", level: "failure", names: "interfaces.json", remedy: "write the file",
		cure: func(s *sick, _ string) { s.masFile(s.masListing()) },
	},
	"Azure Stack: the file is cut": {
		plant: func(s *sick) { s.stack(); s.masFile(`{"Interfaces": [`) },
		code:  11, says: "unexpected end of JSON", status: 50, check: "host-agent", level: "failure",
		names: "unexpected end of JSON", remedy: "write the file",
		cure: func(s *sick, _ string) { s.masFile(s.masListing()) },
	},
	"Azure Stack: the file has a byte-order mark": {plant: func(s *sick) { s.stack(); s.masFile("\xef\xbb\xbf" + s.masListing()) }},
	"IPv6 is asked for, and there is none": {
		plant: func(s *sick) { s.ipam("families", []string{"ipv4", "ipv6"}) },
		code:  101, says: "IPv6", status: 50, check: "pools", level: "failure", names: "for IPv6 addresses", remedy: "assign secondary addresses",
		cure: func(s *sick, _ string) { s.ipam("", nil) },
	},
	"the folder of the state is missing": {
		plant: func(s *sick) { s.fields["dataDir"] = filepath.Join(s.n.Dir, "none") },
		code:  5, says: "/none", status: 50, check: "data-dir", level: "failure", names: "/none is not there",
		remedy: "mkdir -p", cure: shell("mkdir -p"),
	},
	"the folder of the state is read-only": {
		plant: func(s *sick) {
			s.n.Mounts = strings.ReplaceAll("mount --bind DIR DIR && mount -o remount,ro,bind DIR", "DIR", s.n.DataDir())
		},
		code: 5, says: "read-only", status: 50, check: "data-dir", level: "failure", names: "read-only", remedy: "remount,rw",
		cure: func(s *sick, _ string) { s.n.Mounts = "" },
	},
	"the disk is full": {
		plant: func(s *sick) {
			s.n.Mounts = strings.ReplaceAll("mount -t tmpfs -o size=4k tmpfs DIR && head -c 4096 /dev/zero > DIR/ballast", "DIR", s.n.DataDir())
		},
		code: 5, says: "no space left", status: 50, check: "data-dir", level: "failure", names: "no room", remedy: "df ",
		cure: func(s *sick, _ string) { s.n.Mounts = "" },
	},
	"no inode is left": {
		plant: func(s *sick) {
			s.n.Mounts = strings.ReplaceAll("mount -t tmpfs -o nr_inodes=6 tmpfs DIR && touch DIR/1 DIR/2 DIR/3 DIR/4 DIR/5", "DIR", s.n.DataDir())
		},
		code: 5, says: "no space left", status: 50, check: "data-dir", level: "failure", names: "takes no new file", remedy: "df -i",
		cure: func(s *sick, _ string) { s.n.Mounts = "" },
	},
	"the state is damaged, and its mirror is well": {
		plant: func(s *sick) { s.connect(1); s.must(os.Truncate(s.state("azure-vnet-ipam"), 0)) },
		check: "state", level: "warning", names: "its mirror serves", remedy: "start a pod",
	},
	"state and mirror are damaged": {
		plant: func(s *sick) {
			s.connect(1)
			s.must(os.Truncate(s.state("azure-vnet-ipam"), 0))
			s.must(os.Truncate(s.state("azure-vnet-ipam")+".bak", 0))
		},
		check: "state", level: "failure", names: "and its mirror, too", remedy: "start a pod",
	},
	"the state is of a newer version": {
		plant: func(s *sick) {
			s.connect(1)
			s.sh(`sed -i 's/"schema":3/"schema":9/' ` + s.state("azure-vnet-ipam"))
		},
		code: 106, says: "version 9", status: 50, check: "state", level: "failure", names: "version 9", remedy: "upgrade",
		cure: func(s *sick, _ string) { s.sh(`sed -i 's/"schema":9/"schema":3/' ` + s.state("azure-vnet-ipam")) },
	},
	"the state is a symbolic link": {
		plant: func(s *sick) { s.must(os.Symlink("/etc/passwd", s.state("azure-vnet-ipam"))) },
		code:  106, says: "not a regular file", status: 50, check: "state", level: "failure", names: "not a regular file",
		remedy: "move the file away",
		cure:   func(s *sick, _ string) { s.must(os.Remove(s.state("azure-vnet-ipam"))) },
	},
	"azure-vnet-ipam is not installed": {
		plant: func(s *sick) { s.must(os.Rename(s.own()+"/azure-vnet-ipam", s.n.Dir+"/bin/away")) },
		code:  7, says: "failed to find plugin", status: 50, check: "plugins", level: "failure", names: "plugin azure-vnet-ipam is not in",
		remedy: "install-cni-plugin.sh",
		cure:   func(s *sick, _ string) { s.must(os.Rename(s.n.Dir+"/bin/away", s.n.Dir+"/bin/azure-vnet-ipam")) },
	},
	"azure-vnet-ipam is not for this machine": {
		plant: func(s *sick) { s.must(os.WriteFile(s.own()+"/azure-vnet-ipam", []byte("\x7fELF of another"), 0o755)) },
		code:  11, says: "exec format error", status: 50, check: "plugins", level: "failure",
		names: "exec format error", remedy: "for this machine",
		cure: func(s *sick, _ string) {
			s.sh(fmt.Sprintf("cp --remove-destination %s/azure-vnet-ipam %s/bin/", os.Getenv("AZURE_CNI_BIN"), s.n.Dir))
		},
	},
	"azure-vnet-ipam may not be executed": {
		plant: func(s *sick) { s.must(os.Chmod(s.own()+"/azure-vnet-ipam", 0o644)) },
		code:  11, says: "permission denied", status: 50, check: "plugins", level: "failure", names: "is not executable",
		remedy: "chmod 755", cure: shell("chmod 755"),
	},
	"ipam.type is misspelt": {
		plant: func(s *sick) { s.fields["ipam"] = map[string]any{"type": "azure-vnet-ipan"} },
		code:  7, says: "azure-vnet-ipan", status: 50, check: "plugins", level: "failure", names: "azure-vnet-ipan", remedy: "install",
		cure: func(s *sick, _ string) { s.ipam("", nil) },
	},
	"ipam.type is the network plugin": {
		plant: func(s *sick) { s.fields["ipam"] = map[string]any{"type": "azure-vnet"} },
		code:  7, says: "azure-vnet-ipam is meant", status: 7, check: "configuration", level: "failure",
		names: "azure-vnet-ipam is meant", remedy: "correct the file",
		cure: func(s *sick, _ string) { s.ipam("", nil) },
	},
	"the configuration is no JSON": {
		plant: func(s *sick) { s.raw = `{"cniVersion":"1.1.0","name":` },
		code:  6, status: 6, check: "configuration", level: "failure", names: "no JSON", remedy: "correct the file",
		cure: func(s *sick, _ string) { s.raw = "" },
	},
	"the master is misspelt": {
		plant: func(s *sick) { s.fields["master"] = "eth9" },
		code:  102, says: "one of eth0", status: 50, check: "master", level: "failure", names: "eth9", remedy: "one of eth0",
		cure: func(s *sick, _ string) { s.fields["master"] = "eth0" },
	},
	"a process holds the lock for long": {
		plant: func(s *sick) {
			p := &patient{lab: s.lab, n: s.n}
			p.holdLock("azure-vnet-ipam.lock", "600")
			s.end = func() { _ = p.holder.Wait() }
		},
		code: none, status: 50, says: "held by process", check: "locks", level: "failure", names: "(sleep", remedy: "kill -9",
		cure: func(s *sick, remedy string) {
			shell("kill -9")(s, strings.ReplaceAll(remedy, " frees", "; frees"))
			s.end()
		},
	},
	"the log cannot be written": {
		plant: func(s *sick) { s.fields["logFile"] = "/none/azure-vnet.log" },
		check: "log", level: "warning", names: "/none/azure-vnet.log", remedy: "mkdir -p /none",
		cure: func(s *sick, _ string) { delete(s.fields, "logFile") },
	},
	"another mode while there are pods": {
		plant: func(s *sick) { s.connect(1); s.fields["mode"] = "transparent" },
		code:  7, says: "cleanup", check: "configuration", level: "failure", names: "is in use with another configuration",
		remedy: "put the configuration back", cure: func(s *sick, _ string) { delete(s.fields, "mode") },
	},
	"another name while there are pods": {
		plant: func(s *sick) { s.connect(1); s.fields["name"] = "renamed" },
	},
}

// none says that ADD is not tried: it waits for its deadline.
const none = 1000

func (s *sick) cureAssigned(remedy string) { s.asAssigned(remedy) }

// TestSituations goes through all of them: what is said is what is, and the remedy cures it.
func TestSituations(t *testing.T) {
	t.Parallel()
	for name, c := range situations {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 4))
			s := &sick{lab: l, n: l.nodes[0], fields: map[string]any{"mode": "bridge", "ipMasq": true, "vnetCidrs": "10.240.0.0/16"}}
			s.n.Path = slices.Clone(s.n.Path)
			s.file = filepath.Join(s.n.Dir, "10-azure.conf")
			s.ipam("", nil)
			c.plant(s)
			d, exit := s.doctor()
			if want := map[string]int{"": 0, "warning": 1, "failure": 2}[c.level]; exit != want {
				t.Errorf("doctor ends with %d instead of %d: %+v", exit, want, d.ailing())
			}
			remedy := ""
			for _, f := range d.ailing() {
				if f.Check == c.check && f.Level == c.level && strings.Contains(f.Found, c.names) && strings.Contains(f.Remedy, c.remedy) {
					remedy = f.Remedy
				}
			}
			if c.level != "" && remedy == "" {
				t.Errorf("doctor says %+v", d.ailing())
			}
			s.says("STATUS", c.status, c.says)
			if c.code != none {
				s.says("ADD", int(c.code), c.says)
			}
			if c.cure != nil {
				c.cure(s, remedy)
			}
			s.says("ADD", 0, "")
			s.says("STATUS", 0, "")
			if d, _ := s.doctor("--ignore", "state", "--ignore", c.left); len(d.ailing()) > 0 { // what was damaged is kept aside
				t.Errorf("cured, doctor says %+v", d.ailing())
			}
		})
	}
}

// says executes a command and compares: 0 is success.
func (s *sick) says(command string, code int, text string) {
	s.Helper()
	r := s.try(command)
	if code == 0 {
		if r.Exit != 0 {
			s.Errorf("%s fails: %s", command, r.Stdout)
		}
		return
	}
	var e struct {
		Code         int
		Msg, Details string
	}
	oneDocument(s.T, r.Stdout, &e)
	if e.Code != code || !strings.Contains(e.Msg+e.Details, text) {
		s.Errorf("%s says %d, %q, %q", command, e.Code, e.Msg, e.Details)
	}
}
