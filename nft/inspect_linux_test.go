package nft

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/nftables"
	mdlayher "github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"
)

// Probing tells what the kernel has and leaves nothing; a family that no kernel has shows that it would tell.
func TestProbingTheKernelChangesNothing(t *testing.T) {
	h := newHost(t)
	before := h.NFT("-a list ruleset")
	h.kernel(func(nft *Conn) {
		for _, f := range families {
			h.Must(nft.Supports(f))
		}
		if err := nft.probe(nftables.TableFamily(12), false); !errors.Is(err, ErrFeature) { // DECnet, which Linux 6.1 dropped
			t.Errorf("an unknown family: %v", err)
		}
		h.Must(nft.Supports(FamilyInet)) // the socket is good for more
	})
	if after := h.NFT("-a list ruleset"); after != before {
		t.Errorf("the ruleset is\n%s\ninstead of\n%s", after, before)
	}
}

func TestBlocksAreChainsThatDropWhatPodsSend(t *testing.T) {
	h := newHost(t)
	for _, line := range []string{
		"add table ip a", "add chain ip a drops { type filter hook forward priority 0; policy drop; }",
		"add chain ip a accepts { type filter hook forward priority 0; policy drop; }", "add rule ip a accepts iifname azure0 accept",
		"add chain ip a everything { type filter hook forward priority 0; policy drop; }", "add rule ip a everything counter accept",
		"add chain ip a others { type filter hook forward priority 0; policy drop; }", "add rule ip a others iifname docker0 accept",
		"add table ip6 b", "add chain ip6 b rejects { type filter hook forward priority 0; }", "add rule ip6 b rejects reject",
		"add table inet firewalld", "add chain inet firewalld policies", "add rule inet firewalld policies ct state invalid drop",
		"add chain inet firewalld ends { type filter hook forward priority 10; policy accept; }",
		"add rule inet firewalld ends ct state established,related accept",
		"add rule inet firewalld ends jump policies", "add rule inet firewalld ends log prefix \"no\" reject with icmpx admin-prohibited",
		"add chain inet firewalld last", "add rule inet firewalld last log drop", "add chain inet firewalld back",
		"add rule inet firewalld back counter return", "add rule inet firewalld back drop",
		"add chain inet firewalld jumps { type filter hook forward priority 11; }", "add rule inet firewalld jumps jump back",
		"add rule inet firewalld jumps goto last", "add rule inet firewalld jumps accept",
		"add chain inet firewalld returns { type filter hook forward priority 12; }", "add rule inet firewalld returns jump back",
		"add rule inet firewalld returns accept", "add rule inet firewalld returns drop",
		"add chain ip6 b some { type filter hook forward priority 0; }", "add rule ip6 b some tcp dport 25 drop",
		"add chain ip6 b input { type filter hook input priority 0; policy drop; }",
	} {
		h.NFT(line)
	}
	h.kernel(func(nft *Conn) {
		blocks, err := nft.Blocks(Scope{"azure0", FamilyBridge})
		h.Must(err)
		want := []Block{{"ip", "a", "drops", true}, {"ip", "a", "others", true}, {"ip6", "b", "rejects", false},
			{"inet", "firewalld", "ends", false}, {"inet", "firewalld", "jumps", false}}
		if !slices.Equal(blocks, want) {
			t.Errorf("%+v instead of %+v", blocks, want)
		}
	})
}

// What translates services alone does not help a pod out of the VNET.
func TestMasquerades(t *testing.T) {
	for line, want := range map[string]bool{
		"true": false,
		"iptables -t nat -A POSTROUTING ! -d 10.240.0.0/16 -j MASQUERADE":                                                                 true,
		"iptables -t nat -A POSTROUTING -o eth0 -j SNAT --to-source 10.240.0.4":                                                           true,
		"ip6tables -t nat -A POSTROUTING -j MASQUERADE":                                                                                   true,
		"iptables -t nat -N KUBE-SERVICES; iptables -t nat -N KUBE-POSTROUTING; iptables -t nat -A KUBE-POSTROUTING -j MASQUERADE":        false,
		"iptables -t nat -N CNI-HOSTPORT-MASQ; iptables -t nat -A CNI-HOSTPORT-MASQ -m mark --mark 0x2000 -j MASQUERADE":                  false,
		"nft add table inet kube-proxy; nft add chain inet kube-proxy masquerading; nft add rule inet kube-proxy masquerading masquerade": false,
		"iptables -t nat -N IP-MASQ-AGENT; iptables -t nat -A IP-MASQ-AGENT -j MASQUERADE":                                                true,
	} {
		t.Run(line, func(t *testing.T) {
			h := newHost(t)
			h.Run("/bin/sh", "-c", line)
			h.kernel(func(nft *Conn) {
				if got, err := nft.Masquerades(); err != nil || got != want {
					t.Errorf("%v, %v instead of %v", got, err, want)
				}
			})
		})
	}
}

// A kernel without nftables refuses every question, and answers a transaction with a single error, for which nobody may
// wait.
func TestAKernelWithoutNftablesIsNamed(t *testing.T) {
	t.Parallel()
	conn, err := nftables.New(nftables.WithTestDial(func(req []mdlayher.Message) ([]mdlayher.Message, error) {
		if len(req) == 1 && req[0].Header.Flags&mdlayher.Dump != 0 {
			req[0].Header.Flags = 0 // an error's mean something else
			return nltest.Error(int(unix.EINVAL), req)
		}
		t.Errorf("it is sent %+v", req)
		return nil, io.EOF
	}))
	if err != nil {
		t.Fatal(err)
	}
	n := &Conn{lib: conn}
	for _, f := range families {
		if err := n.Supports(f); !errors.Is(err, ErrNoTables) {
			t.Errorf("doctor's question, family %s: %v", f, err)
		}
		r := Rules{Scope: Scope{"azure0", f}, Master: "eth0"}
		if err := n.EnsureRules(r); !errors.Is(err, ErrNoTables) || !errors.Is(err, ErrFeature) {
			t.Errorf("ADD, family %s: %v", f, err)
		}
		if err := n.RemoveRules(r.Scope); !errors.Is(err, ErrNoTables) {
			t.Errorf("cleanup, family %s: %v", f, err)
		}
	}
	if scopes, err := n.Scopes(); err != nil || len(scopes) > 0 {
		t.Errorf("DEL looks for leftovers: %v, %v", scopes, err)
	}
}
