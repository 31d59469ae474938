//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/libcni"
)

// say runs doctor, and returns its exit code and its lines.
func (p *patient) say(args ...string) (int, string) {
	p.Helper()
	p.n.Mounts = undisturbed
	r, err := p.n.Operator(p.ctx, "azure-vnet", append([]string{"doctor", "--config", p.conf}, args...)...)
	p.n.Mounts = ""
	p.must(err)
	return r.Exit, string(r.Stdout) + string(r.Stderr)
}

// What a person does not want to hear of is not said, and does not count; one pod is asked for by its name or its
// container.
func TestDoctorsOptions(t *testing.T) {
	p := newPatient(t, "bridge")
	p.sh("ip link add azv0123456789a type veth peer name x0") // a warning
	p.sh("sysctl -qw net.ipv4.ip_forward=0")                  // a failure
	one, other := p.pods[0], p.pods[1]
	name := func(pod *node.Pod) string { return "pod-" + pod.ID[:8] }
	p.must(other.NS.Command(p.ctx, "ip", "addr", "flush", "dev", "eth0").Run())
	wants := func(exit int, has, lacks []string, args ...string) {
		t.Helper()
		got, text := p.say(args...)
		for _, s := range has {
			if !strings.Contains(text, s) {
				t.Errorf("%v: %q is not said:\n%s", args, s, text)
			}
		}
		for _, s := range lacks {
			if strings.Contains(text, s) {
				t.Errorf("%v: %q is said:\n%s", args, s, text)
			}
		}
		if got != exit {
			t.Errorf("%v: exit %d instead of %d", args, got, exit)
		}
	}
	stray, forward, sick := "azv0123456789a", "net.ipv4.ip_forward", other.ID
	wants(2, []string{stray, forward, sick, "ok       configuration", "2 failures, 1 warning, "}, nil)
	wants(2, []string{stray, forward, sick, "0 checks ok."}, []string{"configuration"}, "--level", "warning")
	wants(2, []string{forward, sick, "2 failures, 0 warnings, 0 checks ok."}, []string{stray}, "--level", "failure")
	wants(1, []string{stray}, []string{forward, sick}, "--ignore", "ip-forward", "--ignore", "endpoints")
	wants(0, []string{"0 failures, 0 warnings"}, []string{stray, forward, sick}, "--ignore", "ip-forward", "--ignore",
		"endpoints", "--ignore", "leftovers")
	wants(2, []string{"pod default/" + name(one), forward, veth(one)}, []string{sick, "host-agent"}, name(one))
	wants(2, []string{"pod default/" + name(other), sick, "restart it"}, []string{one.ID}, "default/"+name(other))
	wants(2, []string{sick}, []string{one.ID}, other.ID[:10], "--ignore", "ip-forward")
	wants(0, []string{"pod default/" + name(one)}, nil, one.ID, "--ignore", "ip-forward", "--ignore", "leftovers")
	wants(2, []string{"nobody has no attachment on this node"}, nil, "nobody", "--ignore", "ip-forward")
}

// Without root doctor says so, and nothing else: what it could not see would be wrong.
func TestDoctorNeedsRoot(t *testing.T) {
	p := newPatient(t, "bridge")
	for _, how := range []string{"--reuid 65534 --regid 65534 --clear-groups", "--bounding-set -net_admin"} {
		bin := filepath.Join(t.TempDir(), "bin")
		p.must(os.MkdirAll(bin, 0o755))
		for dir := bin; dir != os.TempDir(); dir = filepath.Dir(dir) {
			p.must(os.Chmod(dir, 0o755))
		}
		p.sh("cp " + filepath.Join(os.Getenv("AZURE_CNI_BIN"), "azure-vnet") + " " + bin)
		cmd := p.n.VM.Ns.Command(p.ctx, "setpriv",
			append(strings.Fields(how), filepath.Join(bin, "azure-vnet"), "doctor", "-o", "json", "--config", p.conf)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 3 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out),
			"run it with sudo, as "+bin+"/azure-vnet doctor") {
			t.Errorf("%s: %v: %s", how, err, out)
		}
	}
}

// What the configuration names has to be there, containerd's loopback, too; a configuration that calls ours comes first
// rightly.
func TestDoctorKnowsWhoIsCalled(t *testing.T) {
	p := newPatient(t, "bridge")
	list := `{"cniVersion":"1.0.0","name":"azure","plugins":[` + string(p.lab.conf(p.n, p.fields)) + `,{"type":"no-such-plugin"}]}`
	p.must(os.WriteFile(p.conf+"list", []byte(list), 0o600))
	etc := "mount -t tmpfs tmpfs /etc && mkdir -p /etc/cni/net.d && "
	for name, c := range map[string]struct {
		path           []string
		mounts, finds  string // "" is nothing
		check, instead string
	}{
		"a plugin of the list": {mounts: etc + "cp " + p.conf + "list /etc/cni/net.d/10-azure.conflist", check: "plugins",
			finds: "plugin no-such-plugin is not in "},
		"multus":  {mounts: etc + `echo '{"type":"multus","name":"m"}' > /etc/cni/net.d/00-multus.conf && cp ` + p.conf + " /etc/cni/net.d/"},
		"nothing": {mounts: etc + "true", check: "configuration", finds: "names azure-vnet or azure-vnet-ipam"},
		"another plugin that calls azure-vnet-ipam": {mounts: etc + `echo '{"cniVersion":"1.0.0","name":"n","type":"ptp","dataDir":"` +
			p.n.DataDir() + `","ipam":{"type":"azure-vnet-ipam"}}' > /etc/cni/net.d/10-ptp.conf`},
		"loopback": {path: []string{p.n.Path[0]},
			mounts: etc + "cp " + p.conf + " /etc/cni/net.d/ && mount -t tmpfs tmpfs /run && mkdir /run/containerd", check: "plugins",
			finds: "plugin loopback is not in "},
		"loopback without containerd": {path: []string{p.n.Path[0]},
			mounts: etc + "cp " + p.conf + " /etc/cni/net.d/ && mount -t tmpfs tmpfs /run"},
	} {
		t.Run(name, func(t *testing.T) {
			usual := p.n.Path
			defer func() { p.n.Path, p.n.Mounts = usual, "" }()
			if p.n.Mounts = c.mounts; c.path != nil {
				p.n.Path = c.path
			}
			r, err := p.n.Operator(p.ctx, "azure-vnet", "doctor", "-o", "json", "--ignore", "endpoints", "--ignore", "host-network")
			p.must(err)
			var d diagnosis
			oneDocument(t, r.Stdout, &d)
			for _, f := range d.ailing() {
				if c.finds == "" || f.Check == c.check && strings.Contains(f.Found, c.finds) {
					c.instead = f.Found
				}
			}
			if (c.instead != "") != (c.finds != "") {
				t.Errorf("doctor finds %+v", d.ailing())
			}
		})
	}
}

// The configuration as it is shipped has nothing that doctor complains of, before the first pod and with pods; nor has
// a host with a NIC that has no addresses for pods (TestDoctorIsContentWithANICOfTheHosts).
func TestDoctorIsContentWithWhatIsShipped(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	file := filepath.Join(n.Dir, "10-azure.conflist")
	text, err := os.ReadFile("../../cni/conf/10-azure-linux.conflist")
	l.must(err)
	l.must(os.WriteFile(file, text, 0o600))
	l.run(n, "sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
	list, err := libcni.ConfListFromFile(file)
	l.must(err)
	n.Mounts = n.DefaultPaths() + " && " + undisturbed
	for range 2 {
		r, err := n.Operator(l.ctx, "azure-vnet", "doctor", "--config", file)
		if l.must(err); r.Exit != 0 || !strings.Contains(string(r.Stdout), "0 failures, 0 warnings") {
			t.Errorf("exit %d: %s%s", r.Exit, r.Stdout, r.Stderr)
		}
		l.add(n, list)
	}
}
