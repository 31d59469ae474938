package nft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
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

// What is tried again is what somebody else was in the way of, and no longer than it may take him.
func TestTransactionsAreDoneAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		errs []error // of one attempt after the other; the last one stays
		want int     // attempts
	}{
		"success":                          {[]error{nil}, 1},
		"gone at first":                    {[]error{unix.ENOENT, fmt.Errorf("flush: %w", unix.ENOENT), nil}, 3},
		"another error":                    {[]error{unix.EEXIST}, 1},
		"nothing that it needs is there":   {[]error{unix.ENOENT}, 20},
		"no family, so nothing that is in": {[]error{errors.Join(unix.EOPNOTSUPP, unix.ENOENT)}, 1},
	} {
		got := 0
		err := again(func() error {
			got++
			return test.errs[min(got, len(test.errs))-1]
		})
		if got != test.want || !errors.Is(err, test.errs[len(test.errs)-1]) {
			t.Errorf("%s: %d attempts, %v", name, got, err)
		}
	}
}

// meanwhile runs a command of somebody else in the VM, again and again, until it is told to end.
func (h *host) meanwhile(other func(nft *Conn) error) (end func()) {
	ctx, stop := context.WithCancel(h.Context())
	failed := make(chan error, 1)
	go func() {
		failed <- h.VM.Ns.Do(func() (err error) {
			nft := Open(nil)
			defer nft.Close()
			for err == nil && ctx.Err() == nil {
				err = other(nft)
			}
			return err
		})
	}()
	return func() {
		h.Helper()
		stop()
		h.Must(<-failed)
	}
}

// An address is taken from an owner who is giving it up at that moment.
func TestAnAddressIsTakenFromWhoGivesItUp(t *testing.T) {
	h := newHost(t)
	mine, other := elementsOf("azure0")[0], elementsOf("azure0")[1]
	other.Address = mine.Address
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		end := h.meanwhile(func(nft *Conn) error { return nft.DeleteElements(other) })
		for range 300 {
			h.Must(nft.AddElements(other))
			h.Must(nft.TakeElements(mine))
			h.Must(nft.DeleteElements(mine))
		}
		end()
	})
}

// The classic plugin takes its own rules away while we do.
func TestClassicRulesGoMeanwhile(t *testing.T) {
	h := newHost(t)
	chain := &nftables.Chain{Table: &nftables.Table{Family: nftables.TableFamilyBridge, Name: "nat"}, Name: "PREROUTING"}
	turns := make(chan struct{})
	end := h.meanwhile(func(nft *Conn) error {
		if _, more := <-turns; !more {
			return nil
		}
		nft.library().FlushChain(chain)
		return nft.library().Flush()
	})
	for range 200 {
		h.Run("/bin/sh", "-c", "ebtables-nft -t nat -A PREROUTING -p IPv4 -i eth0 --ip-dst 10.240.1.1 -j dnat --to-dst 02:00:00:00:00:09")
		h.kernel(func(nft *Conn) {
			nft.library() // a socket, before it is anybody's turn
			turns <- struct{}{}
			h.Must(nft.RemoveClassicRules())
		})
	}
	close(turns)
	end()
}

// An element is deleted, whoever makes and deletes the same all the time.
func TestAnElementIsDeletedBesideWhoMakesIt(t *testing.T) {
	h := newHost(t)
	e := elementsOf("azure0")[0]
	h.kernel(func(nft *Conn) {
		h.Must(nft.EnsureRules(rulesOf("azure0")))
		end := h.meanwhile(func(nft *Conn) error { return errors.Join(nft.AddElements(e), nft.DeleteElements(e)) })
		for range 300 {
			h.Must(nft.DeleteElements(e))
		}
		end()
	})
}
