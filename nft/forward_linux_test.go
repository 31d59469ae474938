package nft

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
)

// The rules for a firewall stand in each chain that drops or rejects, whether by its policy or by its end, once: also
// after the firewall was saved and restored, flushed, or made anew. When they are not wanted any more they are gone,
// from all of them.
func TestRulesInOthersChainsStandThereOnce(t *testing.T) {
	for name, test := range map[string]struct{ firewall, change, list string }{
		"iptables, saved and restored": {"iptables -P FORWARD DROP", "iptables-save > $F; iptables -F; iptables-restore < $F",
			"iptables -S FORWARD"},
		"iptables, restored beside": {"iptables -P FORWARD DROP",
			"iptables-save > $F; iptables-restore < $F; iptables-save > $F; iptables-restore < $F", "iptables -S FORWARD"},
		"iptables that rejects": {"iptables -A FORWARD -j REJECT", "iptables -F FORWARD; iptables -A FORWARD -j REJECT", "iptables -S FORWARD"},
		"firewalld, reloaded":   {firewalld, "nft delete table inet firewalld; " + firewalld, "nft list chain inet firewalld filter_FORWARD"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.Run("/bin/sh", "-c", test.firewall)
			wanted := rulesOf("azure0", func(r *Rules) { r.AcceptForward = true })
			count := func(when string, want int) {
				t.Helper()
				out := h.Run("/bin/sh", "-c", test.list)
				if got := strings.Count(out, "azure0"+map[bool]string{true: "\"", false: " "}[strings.HasPrefix(test.list, "nft")]); got != want {
					t.Errorf("%s: %d rules instead of %d:\n%s", when, got, want, out)
				}
			}
			ensure := func() {
				h.kernel(func(nft *Conn) {
					if !nft.RulesInPlace(wanted) {
						h.Must(nft.EnsureRules(wanted))
					}
					if !nft.RulesInPlace(wanted) {
						t.Error("the rules are not in place after EnsureRules")
					}
				})
			}
			ensure()
			count("at first", 2)
			for range 3 {
				h.Run("/bin/sh", "-c", strings.ReplaceAll(test.change, "$F", t.TempDir()+"/saved"))
				ensure()
				count("after the change", 2)
			}
			h.kernel(func(nft *Conn) { h.Must(nft.RemoveRules(wanted.Scope)) })
			count("at the end", 0)
		})
	}
}

// firewalld's chain, as firewalld 1.3 writes it: its policy accepts, its end rejects.
const firewalld = `nft -f - <<X
table inet firewalld {
  chain filter_FORWARD_POLICIES { iifname "lo" accept
  }
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
    ct state established,related accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_FORWARD_POLICIES
    reject with icmpx admin-prohibited
  }
}
X
`

// Others take rules away between our listing and our transaction. That is no error, least of all a feature that the
// kernel lacks: the network would be made in another family of nftables.
func TestOthersChangeTheirRulesMeanwhile(t *testing.T) {
	h := newHost(t)
	const classic = "ebtables-nft -t nat -A PREROUTING -p IPv4 -i eth0 --ip-dst 10.240.1.1 -j dnat --to-dst 02:00:00:00:00:09"
	h.Run("/bin/sh", "-c", "iptables -P FORWARD ACCEPT; "+classic+"; ebtables-nft -t nat -F")
	rule := "iptables -A FORWARD -i azure0 -m comment --comment '" + Scope{Name: "azure0"}.forwardPrefix() + "what pods send' -j ACCEPT"
	ctx, stop := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			text := rule + " && iptables -F FORWARD && " + classic + " && ebtables-nft -t nat -F"
			out, err := h.VM.Ns.Command(ctx, "/bin/sh", "-c", text).CombinedOutput()
			if err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%w: %s", err, out)
				return
			}
		}
		failed <- nil
	}()
	r := rulesOf("azure0", func(r *Rules) { r.Classic = []net.HardwareAddr{{2, 0, 0, 0, 0, 9}} })
	h.kernel(func(nft *Conn) {
		for range 100 {
			h.Must(nft.EnsureRules(r))
			h.Must(nft.RemoveClassicRules())
			h.Must(nft.RemoveRules(r.Scope))
		}
	})
	stop()
	h.Must(<-failed)
}
