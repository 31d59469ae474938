//go:build linux

// Package lab is a VM in a fabric of its own for tests that speak with the kernel: nothing in it touches the machine's
// own network. What the kernel has is read by the programs that a person would use: other code than what is tested.
package lab

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

// Main is a TestMain for tests that need root.
func Main(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and need root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Host is a VM with one NIC.
type Host struct {
	*testing.T
	VM *fabric.VM
}

// New starts the fabric. The test runs beside others.
func New(t *testing.T) *Host {
	t.Helper()
	t.Parallel()
	return &Host{T: t, VM: fabric.Start(t, fabric.Default(1, 3)).VMs[0]}
}

// The VM as fabric.Default makes it.
var (
	MAC         = net.HardwareAddr{0x00, 0x0d, 0x3a, 0x00, 0x00, 0x01}
	Prefix      = netip.MustParsePrefix("10.240.0.4/16")
	Gateway     = netip.MustParseAddr("10.240.0.1")
	PodPrefixes = []netip.Prefix{netip.MustParsePrefix("10.240.1.1/16"), netip.MustParsePrefix("10.240.1.2/16"),
		netip.MustParsePrefix("10.240.1.3/16")}
)

// Must ends the test with an error.
func (h *Host) Must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// IP runs "ip …" in the VM, as a person would: other code than what is tested. With numbers, since the machine may have
// names for some (/etc/iproute2).
func (h *Host) IP(args string) string {
	h.Helper()
	return h.Run("ip", append([]string{"-N"}, strings.Fields(args)...)...)
}

// NFT runs "nft …" in the VM. It does not see the names that the machine may have for marks, since with numbers alone
// it would show rules that nobody can read.
func (h *Host) NFT(args string) string {
	h.Helper()
	const script = `mount --make-rprivate / && { [ ! -e /etc/iproute2/rt_marks ] || mount --bind /dev/null /etc/iproute2/rt_marks; } && exec nft "$@"`
	cmd := h.VM.Ns.Command(h.Context(), "/bin/sh", append([]string{"-c", script, "nft"}, strings.Fields(args)...)...)
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("nft %s: %v: %s", args, err, out)
	}
	return string(out)
}

// Run runs a program in the VM.
func (h *Host) Run(name string, args ...string) string {
	h.Helper()
	cmd := h.VM.Ns.Command(h.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// InPod runs "ip …" in a pod.
func (h *Host) InPod(pod *fabric.Namespace, args string) {
	h.Helper()
	if out, err := pod.Command(h.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		h.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// Ping requires an answer.
func (h *Host) Ping(from *fabric.Namespace, to netip.Addr) {
	h.Helper()
	if _, err := from.Ping(h.Context(), to, fabric.PingOptions{}); err != nil {
		h.Error(err)
	}
}

var linkIndex = regexp.MustCompile(`(?m)^\d+: `)

// Lifetime is one that has an end, as ip shows it.
var Lifetime = regexp.MustCompile(`\d+sec`)

// named is ip's output with the kernel's own names for its own numbers.
func named(out string) string {
	for number, name := range map[string]string{"(?m)^2 ": "local ", "(?m)^3 ": "broadcast ", "(?m)^5 ": "multicast ",
		" table 255 ": " table local ", " proto 2 ": " proto kernel ", " proto 9 ": " proto ra ", " proto 16 ": " proto dhcp ",
		" scope 0 ": " scope global ", " scope 253 ": " scope link ", " scope 254 ": " scope host "} {
		out = regexp.MustCompile(number).ReplaceAllString(out, name)
	}
	return out
}

// Conf is what an interface carries, as text in which the interface is called DEV: addresses, routes of all
// tables, permanent neighbours.
func (h *Host) Conf(dev string) string {
	h.Helper()
	var lines []string
	for _, show := range []string{"-o addr show dev ", "-4 route show table all dev ", "-6 route show table all dev ",
		"neigh show nud permanent dev "} {
		out := linkIndex.ReplaceAllString(h.IP(show+dev), "")
		for line := range strings.Lines(Lifetime.ReplaceAllString(named(out), "N sec")) {
			// What the kernel makes of its own accord comes and goes.
			if strings.Contains(line, "inet6 fe80::") || strings.Contains(line, "local fe80::") || strings.HasPrefix(line, "fe80::") ||
				strings.Contains(line, "ff00::") || strings.Contains(line, "proto kernel metric 256") {
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

// Endless is the text of a configuration that came to the bridge: leases have no end there, nor what a router
// advertised.
func Endless(conf string) string {
	conf = regexp.MustCompile(`(?m)( proto ra .*) expires N sec`).ReplaceAllString(conf, "$1")
	return strings.NewReplacer(" dynamic", "", "_lft N sec", "_lft forever").Replace(conf)
}

// Same compares texts.
func (h *Host) Same(what, got, want string) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

// Prefixes are parsed; a mistake in them ends the process.
func Prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// PodMAC is what the plugins give to a pod with the address.
func PodMAC(p netip.Prefix) net.HardwareAddr {
	return append(net.HardwareAddr{0x0a, 0x58}, p.Addr().AsSlice()...)
}

// WantPodPort compares a port's settings with those of a pod's, word by word: "mcast_flood off" has "flood off" in it.
func (h *Host) WantPodPort(name string) {
	h.Helper()
	words := strings.Fields(h.Run("bridge", "-d", "link", "show", "dev", name))
	for setting, want := range map[string]string{"hairpin": "on", "learning": "off", "flood": "off",
		"mcast_flood": "off", "bcast_flood": "off"} {
		at := slices.Index(words, setting)
		if at < 0 || at+1 == len(words) || words[at+1] != want {
			h.Errorf("%s of port %s is not %s: %s", setting, name, want, strings.Join(words, " "))
		}
	}
}

// Sorted is a text with its lines in order.
func Sorted(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
