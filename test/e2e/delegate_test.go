//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// withPlugins is a node with its own copies of the plugins, where replace may put something else.
func withPlugins(l *lab, n *node.Node, replace func(folder string)) *node.Node {
	l.Helper()
	dir := l.TempDir()
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		text, err := os.ReadFile(filepath.Join(binaries, plugin))
		l.must(err)
		l.must(os.WriteFile(filepath.Join(dir, plugin), text, 0o755))
	}
	replace(dir)
	n.Path = []string{dir}
	return n
}

// restamp changes the text in the ELF note of Go's in a program, which says of which build that is.
func (l *lab) restamp(path string, change func(stamp []byte)) {
	l.Helper()
	text, err := os.ReadFile(path)
	l.must(err)
	const note, stamp = "\x04\x00\x00\x00Go\x00\x00", "azure-vnet/"
	at := bytes.Index(text, []byte(note)) + len(note)
	if at < len(note) || !bytes.HasPrefix(text[at:], []byte(stamp)) {
		l.Fatalf("%s has no stamp; make azure-vnet azure-vnet-ipam", path)
	}
	const hash = 40 // characters
	change(text[at : at+len(stamp)+hash])
	l.must(os.WriteFile(path, text, 0o755))
}

// The IPAM plugin is started for each address where another network plugin calls it.
func TestTheIPAMPluginIsSmall(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(filepath.Join(binaries, "azure-vnet-ipam"))
	if err != nil {
		t.Fatal(err)
	}
	const most = 4 << 20 // bytes
	if info.Size() >= most {
		t.Errorf("it has %d bytes: go tool nm -size -sort size says what they are", info.Size())
	}
}

var pidOf = regexp.MustCompile(`pid=(\d+) plugin=azure-vnet(?:-ipam)? command=(\w+) `)

// The network plugin calls our IPAM plugin itself if what lies beside it is of the same build, and executes it
// otherwise; there is no other difference: the same results, the same errors, the same lines in the log.
func TestIPAMInProcessIsAsInAProgramOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replace   func(l *lab, folder string)
		conf      map[string]any
		inProcess bool
	}{
		"of the same build": {inProcess: true},
		"switched off":      {conf: map[string]any{"execIPAM": true}},
		"of another build": {replace: func(l *lab, folder string) {
			l.restamp(filepath.Join(folder, "azure-vnet-ipam"), func(stamp []byte) { stamp[len(stamp)-1] ^= 1 })
		}},
		"not of a build of the Makefile's": {replace: func(l *lab, folder string) {
			for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
				l.restamp(filepath.Join(folder, plugin), func(stamp []byte) { copy(stamp, "go-build-id") })
			}
		}},
		"without a stamp": {replace: func(l *lab, folder string) {
			for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
				l.restamp(filepath.Join(folder, plugin), func(stamp []byte) { clear(stamp) })
			}
		}},
		"a script of the operator's": {replace: func(l *lab, folder string) {
			path := filepath.Join(folder, "azure-vnet-ipam")
			l.must(os.Mkdir(filepath.Join(folder, "real"), 0o755))
			l.must(os.Rename(path, filepath.Join(folder, "real", "azure-vnet-ipam")))
			l.must(os.WriteFile(path, []byte("#!/bin/sh\nexec "+folder+"/real/azure-vnet-ipam \"$@\"\n"), 0o755))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.DefaultDual(1, 2))
			n := withPlugins(l, l.nodes[0], func(folder string) {
				if test.replace != nil {
					test.replace(l, folder)
				}
			})
			fields := map[string]any{"ipam": bothFamilies}
			for k, v := range test.conf {
				fields[k] = v
			}
			list := l.list(n, fields)
			p := l.add(n, list)
			l.must(p.Check(l.ctx))
			second := l.add(n, list)
			third, err := n.NewPod(list)
			l.must(err)
			failed := third.Add(l.ctx)
			if want := "IPAM plugin azure-vnet-ipam, ADD: allocate an address for"; failed == nil || !strings.Contains(failed.Error(), want) {
				t.Errorf("the pool is empty: %v, want %q in it", failed, want)
			}
			l.must(p.Del(l.ctx))
			l.must(second.Del(l.ctx))
			l.must(p.Del(l.ctx))
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			got := fmt.Sprintf("%s %s gateway %s, dns %v", p.Result.IPs[0].Address.String(), p.Result.IPs[1].Address.String(),
				p.Result.IPs[0].Gateway, p.Result.DNS.Nameservers)
			if want := "10.240.1.1/16 fd00::1:1/64 gateway 10.240.0.1, dns [168.63.129.16]"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			// Both plugins write one line for each command, the IPAM plugin first; its pid says which process it was. An ADD
			// that fails takes back what it may have reserved.
			var commands, pids []string
			for _, line := range strings.Split(l.read(n.LogFile("azure-vnet")), "\n") {
				if m := pidOf.FindStringSubmatch(line); m != nil && (strings.Contains(line, "msg=done") || strings.Contains(line, "msg=failed")) {
					pids, commands = append(pids, m[1]), append(commands, m[2])
				}
			}
			if got, want := strings.Join(commands, " "), "ADD ADD CHECK CHECK ADD ADD ADD DEL ADD DEL DEL DEL DEL DEL DEL"; got != want {
				t.Fatalf("the log has\n%s, want\n%s", got, want)
			}
			for _, group := range [][]string{pids[:2], pids[2:4], pids[4:6], pids[6:9], pids[9:11], pids[11:13], pids[13:]} {
				slices.Sort(group)
				if processes := len(slices.Compact(slices.Clone(group))); processes != len(group) && !test.inProcess ||
					processes != 1 && test.inProcess {
					t.Errorf("the lines of one command are of the processes %q", group)
				}
			}
		})
	}
}
