//go:build linux

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// Each pod starts the programs, mostly for an ADD: what only a person needs (patterns, tables, sources) is made when
// somebody asks for it. The runtime says what each package made before main.
func TestAStartMakesLittle(t *testing.T) {
	l := newLab(t, fabric.Default(1, 1))
	const most, mostOfAll = 8 << 10, 128 << 10 // bytes, of one package of ours, and of all packages
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		r, err := l.nodes[0].Exec(l.ctx, node.Call{Plugin: plugin, Command: "VERSION", Conf: []byte(`{"cniVersion":"1.0.0"}`),
			Env: []string{"GODEBUG=inittrace=1"}})
		l.must(err)
		all, ours := 0, 0
		for line := range strings.Lines(string(r.Stderr)) {
			var name string
			var at, clock float64
			var bytes, allocations int
			if _, err := fmt.Sscanf(line, "init %s @%f ms, %f ms clock, %d bytes, %d allocs", &name, &at, &clock, &bytes, &allocations); err != nil {
				continue
			}
			all += bytes
			if strings.HasPrefix(name, "github.com/Azure/azure-container-networking/") {
				if ours++; bytes > most {
					t.Errorf("%s: %s makes %d bytes before main", plugin, name, bytes)
				}
			}
		}
		if ours == 0 {
			t.Errorf("%s: the runtime says nothing of our packages: %q", plugin, r.Stderr)
		}
		if all > mostOfAll {
			t.Errorf("%s: all packages together make %d bytes before main:\n%s", plugin, all, r.Stderr)
		}
	}
}

// A command for a pod of a network that is there has one socket for the host, one in the pod, and one for nftables,
// although the IPAM plugin runs in its process and asks, too. In the netdev family, where each pod has a chain, an ADD has a
// second one for nftables, and does not ask for all rules of a table at once. No file is registered with Go's poller, which
// refuses files, but the state's locks, which a library opens.
func TestCommandsAskOverFewSockets(t *testing.T) {
	t.Parallel()
	for mode, tables := range map[string]int{"bridge": 2, "transparent": 1} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			l.add(n, l.list(n, map[string]any{"mode": mode})) // makes the network
			ns, err := n.VM.NewPod("pod")
			l.must(err)
			trace := n.Dir + "/trace"
			conf := l.conf(n, map[string]any{"mode": mode})
			commands := []struct {
				name    string
				sockets []string
				tables  int
			}{
				{"ADD", []string{"NETLINK_NETFILTER", "NETLINK_ROUTE", "NETLINK_ROUTE"}, tables},
				{"DEL", []string{"NETLINK_NETFILTER", "NETLINK_ROUTE"}, 0},
			}
			chains := family == "netdev" && mode == "bridge"
			if chains {
				commands[0].sockets = slices.Insert(commands[0].sockets, 0, "NETLINK_NETFILTER")
			}
			for _, want := range commands {
				l.wantSuccess(l.traced(n, want.name, "c1", ns.Path(), conf, "-e", "trace=socket,sendto,epoll_ctl,flock", "-o", trace))
				text := l.read(trace)
				var sockets []string
				for _, m := range socketCall.FindAllStringSubmatch(text, -1) {
					sockets = append(sockets, m[1])
				}
				slices.Sort(sockets)
				if !slices.Equal(sockets, want.sockets) {
					t.Errorf("%s opens %q, want %q", want.name, sockets, want.sockets)
				}
				if polled, locks := len(polledFile.FindAllString(text, -1)), len(lockCall.FindAllString(text, -1)); polled > locks || locks == 0 {
					t.Errorf("%s registers %d files with the poller, and takes %d locks", want.name, polled, locks)
				}
				if asked := len(ruleListing.FindAllString(text, -1)); asked != want.tables && !chains {
					t.Errorf("%s asks for rules %d times, want %d", want.name, asked, want.tables)
				}
			}
		})
	}
}

// What strace says of them. It does not know the type of each message.
var (
	socketCall  = regexp.MustCompile(`socket\((?:AF_NETLINK, \w[\w|]*, )?(\w+)`)
	polledFile  = regexp.MustCompile(`epoll_ctl.* EPERM `)
	lockCall    = regexp.MustCompile(`flock\(\d+, LOCK_(?:EX|SH)`)
	ruleListing = regexp.MustCompile(`nlmsg_type=(?:0xa07 |NFNL_SUBSYS_NFTABLES<<8\|NFT_MSG_GETRULE,)`)
)
