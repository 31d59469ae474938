package netlink

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of netlink make network namespaces and need root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// host is a VM in a fabric of its own: nothing here touches the machine's own network.
type host struct {
	*testing.T
	vm *fabric.VM

	remembered []byte // what the plugin knows of azure0
}

func newHost(t *testing.T) *host {
	t.Helper()
	t.Parallel()
	return &host{T: t, vm: fabric.Start(t, fabric.Default(1, 3)).VMs[0]}
}

// The VM as fabric.Default makes it.
var (
	eth0MAC     = net.HardwareAddr{0x00, 0x0d, 0x3a, 0x00, 0x00, 0x01}
	hostPrefix  = netip.MustParsePrefix("10.240.0.4/16")
	gateway     = netip.MustParseAddr("10.240.0.1")
	podPrefixes = []netip.Prefix{netip.MustParsePrefix("10.240.1.1/16"), netip.MustParsePrefix("10.240.1.2/16"), netip.MustParsePrefix("10.240.1.3/16")}
)

// kernel runs fn in the VM, with the sockets of one command.
func (h *host) kernel(fn func(nl *Handle, nft *NFT)) {
	h.Helper()
	h.must(h.vm.Ns.Do(func() error {
		nl, err := Open()
		if err != nil {
			return err
		}
		defer nl.Close()
		nft, err := OpenNFT()
		if err != nil {
			return err
		}
		defer nft.Close()
		fn(nl, nft)
		return nil
	}))
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// ip runs "ip …" in the VM, as a person would: other code than what is tested. With numbers, since the machine may have names for some
// (/etc/iproute2).
func (h *host) ip(args string) string {
	h.Helper()
	return h.run("ip", append([]string{"-N"}, strings.Fields(args)...)...)
}

// nft runs "nft …" in the VM. It does not see the names that the machine may have for marks, since with numbers alone it would show rules
// that nobody can read.
func (h *host) nft(args string) string {
	h.Helper()
	const script = `mount --make-rprivate / && { [ ! -e /etc/iproute2/rt_marks ] || mount --bind /dev/null /etc/iproute2/rt_marks; } && exec nft "$@"`
	cmd := h.vm.Ns.Command(h.Context(), "/bin/sh", append([]string{"-c", script, "nft"}, strings.Fields(args)...)...)
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("nft %s: %v: %s", args, err, out)
	}
	return string(out)
}

func (h *host) run(name string, args ...string) string {
	h.Helper()
	cmd := h.vm.Ns.Command(h.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inPod runs "ip …" in a pod.
func (h *host) inPod(pod *fabric.Namespace, args string) {
	h.Helper()
	if out, err := pod.Command(h.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		h.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

func (h *host) ensureBridge() Bridge {
	h.Helper()
	return h.ensureLost(Lost{})
}

// ensureLost makes the bridge, and remembers what is on it, as an ADD does.
func (h *host) ensureLost(lost Lost) (b Bridge) {
	h.Helper()
	h.kernel(func(nl *Handle, _ *NFT) {
		var err error
		b, err = nl.EnsureBridge("azure0", "eth0", lost)
		h.must(err)
		h.remembered, err = nl.Snapshot(b, h.remembered)
		h.must(err)
	})
	return b
}

func (h *host) removeBridge() {
	h.Helper()
	h.kernel(func(nl *Handle, _ *NFT) { h.must(nl.RemoveBridge("azure0", "eth0", h.remembered)) })
}

func (h *host) ping(from *fabric.Namespace, to netip.Addr) {
	h.Helper()
	if _, err := from.Ping(h.Context(), to, fabric.PingOptions{}); err != nil {
		h.Error(err)
	}
}

var (
	linkIndex = regexp.MustCompile(`(?m)^\d+: `)
	lifetime  = regexp.MustCompile(`\d+sec`)
)

// named is ip's output with the kernel's own names for its own numbers.
func named(out string) string {
	for number, name := range map[string]string{"(?m)^2 ": "local ", "(?m)^3 ": "broadcast ", "(?m)^5 ": "multicast ",
		" table 255 ": " table local ", " proto 2 ": " proto kernel ", " proto 9 ": " proto ra ", " proto 16 ": " proto dhcp ", " scope 0 ": " scope global ", " scope 253 ": " scope link ", " scope 254 ": " scope host "} {
		out = regexp.MustCompile(number).ReplaceAllString(out, name)
	}
	return out
}

// conf is what an interface carries, as text in which the interface is called DEV: addresses, routes of all
// tables, permanent neighbours.
func (h *host) conf(dev string) string {
	h.Helper()
	var lines []string
	for _, show := range []string{"-o addr show dev ", "-4 route show table all dev ", "-6 route show table all dev ", "neigh show nud permanent dev "} {
		out := linkIndex.ReplaceAllString(h.ip(show+dev), "")
		for line := range strings.Lines(lifetime.ReplaceAllString(named(out), "N sec")) {
			// What the kernel makes of its own accord comes and goes.
			if strings.Contains(line, "inet6 fe80::") || strings.Contains(line, "local fe80::") || strings.HasPrefix(line, "fe80::") || strings.Contains(line, "ff00::") || strings.Contains(line, "proto kernel metric 256") {
				continue
			}
			line = strings.ReplaceAll(line, " linkdown", "") // of a bridge, for a moment
			line = strings.Join(strings.Fields(line), " ")
			lines = append(lines, regexp.MustCompile(`\b`+dev+`\b`).ReplaceAllString(line, "DEV"))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// endless is the text of a configuration that came to the bridge: leases have no end there, nor what a router advertised.
func endless(conf string) string {
	conf = regexp.MustCompile(`(?m)( proto ra .*) expires N sec`).ReplaceAllString(conf, "$1")
	return strings.NewReplacer(" dynamic", "", "_lft N sec", "_lft forever").Replace(conf)
}

func (h *host) same(what, got, want string) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}
