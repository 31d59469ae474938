//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/vishvananda/netlink"
)

// living makes a container that uses the address: a namespace with a process, linked to the VM's by a veth, as any
// network plugin makes it.
func (l *lab) living(n *node.Node, address string) *fabric.Namespace {
	l.Helper()
	name := "p" + address[strings.LastIndexAny(address, ".:")+1:]
	ns, err := n.VM.NewPod(name)
	l.must(err)
	l.must(n.VM.Ns.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "h" + name, MTU: 1500}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(nsFD(l, ns))})
	}))
	l.must(ns.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address + "/32")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, a)
	}))
	l.occupy(ns)
	return ns
}

// nsFD opens a namespace for as long as the test runs.
func nsFD(l *lab, ns *fabric.Namespace) int {
	l.Helper()
	f, err := os.Open(ns.Path())
	l.must(err)
	l.Cleanup(func() { _ = f.Close() })
	return int(f.Fd())
}

// occupy starts a process that lives in the namespace until the test ends.
func (l *lab) occupy(ns *fabric.Namespace) {
	l.Helper()
	cmd := ns.Command(l.ctx, "/bin/sh", "-c", "echo; exec cat")
	stdin, err := cmd.StdinPipe()
	l.must(err)
	stdout, err := cmd.StdoutPipe()
	l.must(err)
	l.must(cmd.Start())
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
}

// Whatever happens to the files, no address of a living pod is given to another one.
func TestLivingPodsKeepTheirAddressesWhateverHappensToTheFiles(t *testing.T) {
	t.Parallel()
	write := func(text string) func(*lab, *node.Node) {
		return func(l *lab, n *node.Node) { l.must(os.WriteFile(ipamState(n), []byte(text), 0o600)) }
	}
	damages := map[string]func(*lab, *node.Node){
		"empty":     write(""),
		"NUL bytes": write(strings.Repeat("\x00", 4096)),
		"a list":    write("[]"),
		"an object": write("{}"),
		"half": func(l *lab, n *node.Node) {
			text := l.read(ipamState(n))
			write(text[:len(text)/2])(l, n)
		},
		"deleted": func(l *lab, n *node.Node) { l.must(removeAll(ipamState(n))) },
		"deleted with its mirror": func(l *lab, n *node.Node) {
			l.must(removeAll(ipamState(n), ipamState(n)+".bak"))
		},
		"damaged with its mirror": func(l *lab, n *node.Node) {
			write(`{"schema":3,"data":{"pools":[null]},"records":[]}`)(l, n)
			l.must(os.WriteFile(ipamState(n)+".bak", []byte("{"), 0o600))
		},
	}
	for name, damage := range damages {
		for _, withNetworks := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, azure-vnet.json %t", name, withNetworks), func(t *testing.T) {
				l := newLab(t, fabric.Default(1, 6))
				n := l.nodes[0]
				alive := map[string]string{}
				list := l.list(n, nil)
				for range 2 {
					p := l.add(n, list)
					l.occupy(p.NS)
					alive[p.IP.String()] = p.ID
				}
				third := l.given(n, l.ipamCall(n, "ADD", "third-party", nil))[0]
				third = strings.TrimSuffix(third, "/16")
				l.living(n, third)
				alive[third] = "third-party"
				if !withNetworks {
					l.must(removeAll(filepath.Join(n.DataDir(), "azure-vnet.json"), filepath.Join(n.DataDir(), "azure-vnet.json.bak")))
				}
				damage(l, n)
				for i := range 3 {
					a, code := l.add1(n, fmt.Sprintf("new%d", i))
					if alive[a] != "" || code != 0 {
						t.Errorf("%s of %s is given again (code %d)", a, alive[a], code)
					}
				}
				if a, code := l.add1(n, "surplus"); code != 100 {
					t.Errorf("%q, code %d: the pool has six addresses, three are alive", a, code)
				}
				held := l.reserved(n)
				for a, id := range alive {
					if owner, has := held[a]; !has || owner != "" && owner != id {
						t.Errorf("%s of %s is reserved for %q (%t)", a, id, owner, has)
					}
				}
				if withNetworks {
					for a, id := range alive {
						if id != "third-party" && held[a] != id {
							t.Errorf("%s is reserved for %q: azure-vnet.json knows %s", a, held[a], id)
						}
					}
				}
			})
		}
	}
}

func TestStateOfANewerVersionIsLeftAlone(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	newer := `{"schema":4,"bootID":"x","generation":7,"data":{"pools":[]}}`
	l.must(os.WriteFile(ipamState(n), []byte(newer), 0o600))
	gc := map[string]any{"cni.dev/valid-attachments": []any{}}
	for command, fields := range map[string]map[string]any{"ADD": nil, "DEL": nil, "CHECK": nil, "GC": gc} {
		e := l.wantError(l.exec(n, l.ipamCall(n, command, "c", fields)), 106)
		if !strings.Contains(e.Msg, ipamState(n)) {
			t.Errorf("%s: the message does not name the file: %s", command, e.Msg)
		}
	}
	l.wantError(l.exec(n, l.ipamCall(n, "STATUS", "", nil)), 50)
	if got := l.read(ipamState(n)); got != newer {
		t.Errorf("the file is now %s", got)
	}
	if kept := slices.Concat(l.aside(n, "corrupt"), l.aside(n, "classic")); len(kept) > 0 {
		t.Errorf("kept aside: %v", kept)
	}
}
