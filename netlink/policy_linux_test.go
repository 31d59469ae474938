package netlink

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/lab"
)

// twoNICs is a VM whose eth1 is in 10.244.0.0/16.
func twoNICs(t *testing.T) *host {
	t.Helper()
	t.Parallel()
	cfg := fabric.DefaultDual(1, 1)
	second := cfg.VMs[0].NICs[0]
	second.Name, second.Primary, second.MAC = "eth1", false, net.HardwareAddr{0x00, 0x0d, 0x3a, 0x01, 0x00, 0x01}
	second.Prefix, second.Address, second.Pods = netip.MustParsePrefix("10.244.0.0/16"), netip.MustParseAddr("10.244.0.4"),
		[]netip.Addr{netip.MustParseAddr("10.244.1.1")}
	second.Prefix6, second.Address6, second.Pods6 = netip.MustParsePrefix("fd44::/64"), netip.MustParseAddr("fd44::4"),
		[]netip.Addr{netip.MustParseAddr("fd44::1:1")}
	cfg.VMs[0].NICs = append(cfg.VMs[0].NICs, second)
	return &host{Host: &lab.Host{T: t, VM: fabric.Start(t, cfg).VMs[0]}}
}

// policyOf is what a network with pods on the NIC needs.
func (h *host) policyOf(nl *Handle, nic string, routed bool, pods ...string) Policy {
	h.Helper()
	l, err := nl.Link(nic)
	h.Must(err)
	w, err := nl.Ways(Bridge{Master: l}, nil)
	h.Must(err)
	return Policy{Ways: w, Pods: lab.Prefixes(pods...), Routed: routed, Router6: netip.MustParseAddr("fe80::1234:5678:9abc")}
}

// policy is what a person sees of rules and tables, but for the kernel's own rules. Tables of an interface are called
// after it.
func (h *host) policy() string {
	h.Helper()
	text := h.IP("-4 rule") + h.IP("-4 route show table all") + h.IP("-6 rule") + h.IP("-6 route show table all")
	text = strings.NewReplacer("1627389954", "ETH0", "1627389955", "ETH1").Replace(text)
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "ETH") || regexp.MustCompile(`^(60|61|62|100):`).MatchString(line) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, "\n")
}

// The addresses that were read with the bridge tell the NICs; without, they are read.
func TestWaysAreOfTheAddressesThatWereReadWithTheBridge(t *testing.T) {
	h := twoNICs(t)
	var b Bridge
	h.kernel(func(nl *Handle) {
		var err error
		b, _, err = nl.Bridge("azure0", "eth0")
		h.Must(err)
	})
	h.IP("addr flush dev eth1")
	h.kernel(func(nl *Handle) {
		for other, of := range map[string]Bridge{"eth1": b, "": {Master: b.Master}} {
			w, err := nl.Ways(of, nil)
			h.Must(err)
			if w.Own.Name != "eth0" || w.Other.Name != other {
				t.Errorf("the ways are by %s and %q, want eth0 and %q", w.Own.Name, w.Other.Name, other)
			}
		}
	})
}

func TestPolicyOfAHostWithSeveralNICs(t *testing.T) {
	h := twoNICs(t)
	h.IP("rule add from 10.99.0.0/16 lookup 100 prio 61") // somebody else's, at our priority
	h.kernel(func(nl *Handle) {
		second := h.policyOf(nl, "eth1", true, "10.244.0.0/16", "fd44::/64")
		first := h.policyOf(nl, "eth0", false, "10.240.0.0/16")
		before := h.policy()
		h.Must(nl.EnsurePolicy(second))
		want := `60: from all to 10.244.0.0/16 lookup 254 suppress_prefixlength 31
61: from 10.99.0.0/16 lookup 100
61: from 10.244.0.0/16 fwmark 0x40/0x40 lookup ETH0
62: from 10.244.0.0/16 fwmark 0x80/0x80 lookup ETH1
default via 10.240.0.1 dev eth0 table ETH0 proto 2 onlink
default via 10.244.0.1 dev eth1 table ETH1 proto 2 onlink
60: from all to fd44::/64 lookup 254 suppress_prefixlength 127
61: from fd44::/64 fwmark 0x40/0x40 lookup ETH0
62: from fd44::/64 fwmark 0x80/0x80 lookup ETH1
default via fe80::1234:5678:9abc dev eth0 table ETH0 proto 2 metric 1024 onlink pref medium
default via fe80::1234:5678:9abc dev eth1 table ETH1 proto 2 metric 1024 onlink pref medium`
		h.Same("the policy", h.policy(), want)
		h.Must(nl.EnsurePolicy(second))
		h.Same("the policy made again", h.policy(), want)
		h.Must(nl.EnsurePolicy(first))
		h.Must(nl.RemovePolicy(first.Pods))
		h.Same("the policy when the other NIC's is gone", h.policy(), want)
		for _, damage := range []string{"rule del prio 60", "rule del prio 62", "route flush table 1627389955", "-6 rule del prio 61",
			"-6 route flush table 1627389954"} {
			h.IP(damage)
			if in, err := nl.PolicyInPlace(second); in || err != nil {
				t.Errorf("after %q: in place %t, %v", damage, in, err)
			}
			h.Must(nl.EnsurePolicy(second))
			h.Same("the policy repaired after "+damage, h.policy(), want)
		}
		h.Must(nl.RemovePolicy(second.Pods))
		h.Same("what is left", h.policy(), before)
	})
}

func TestPolicyOfAHostWithOneNIC(t *testing.T) {
	h := newHost(t)
	h.Same("the policy before", h.policy(), "")
	h.kernel(func(nl *Handle) {
		p := h.policyOf(nl, "eth0", true, "10.240.0.0/16")
		ensure := func(when, want string) {
			t.Helper()
			h.Must(nl.EnsurePolicy(p))
			h.Same(when, h.policy(), want)
		}
		ensure("the policy of a plain host", "")
		h.IP("rule add from 10.240.0.4 lookup 100 prio 100")
		ensure("the policy of a host with rules",
			"60: from all to 10.240.0.0/16 lookup 254 suppress_prefixlength 31\n100: from 10.240.0.4 lookup 100")
		p.Routed = false
		ensure("the policy of a bridge", "100: from 10.240.0.4 lookup 100")
		p.Routed = true
		h.IP("rule del prio 100")
		ensure("the policy when the host's rules are gone", "")
	})
}

// Where the host sends all to a tunnel there is no lab.Gateway; where a NIC has a single address, the pods' subnet
// tells it.
func TestGatewaysOfOddNICs(t *testing.T) {
	h := twoNICs(t)
	h.IP("link add tun0 type veth peer name tun1")
	h.IP("link set tun0 up")
	h.IP("link set tun1 up")
	h.IP("route replace default dev tun0")
	h.IP("addr flush dev eth1")
	h.IP("addr add 10.244.0.4/32 dev eth1")
	h.kernel(func(nl *Handle) {
		p := h.policyOf(nl, "eth1", true, "10.244.0.0/16")
		h.Must(nl.EnsurePolicy(p))
		text := h.IP("route show table all")
		for _, want := range []string{"default dev tun0 table 16", "default via 10.244.0.1 dev eth1 table 16"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing:\n%s", want, text)
			}
		}
		p.Pods = lab.Prefixes("10.244.1.1/32")
		if err := nl.EnsurePolicy(p); err == nil || !strings.Contains(err.Error(), "no default route over eth1") {
			t.Errorf("without a subnet: %v", err)
		}
	})
}
