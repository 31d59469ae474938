//go:build linux

package e2e

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// classicDir has the state files of the classic plugin, as they were found.
const classicDir = "../../ipam/testdata/classic"

// classicFabric is the VM that the files were made on: 255 addresses from 10.240.0.5 on.
func classicFabric() fabric.Config {
	cfg := fabric.Default(1, 0)
	nic := &cfg.VMs[0].NICs[0]
	nic.MAC = net.HardwareAddr{0x00, 0x0d, 0x3a, 0x11, 0x22, 0x33}
	for a := addr("10.240.0.5"); len(nic.Pods) < 255; a = a.Next() {
		nic.Pods = append(nic.Pods, a)
	}
	return cfg
}

func (l *lab) place(n *node.Node, from, name string) string {
	l.Helper()
	text := l.read(filepath.Join(from, name))
	l.must(os.WriteFile(filepath.Join(n.DataDir(), name), []byte(text), 0o600))
	return text
}

// aside are the files that the plugin has kept of the state, by the kind in their names.
func (l *lab) aside(n *node.Node, kind string) []string {
	l.Helper()
	found, err := filepath.Glob(ipamState(n) + "." + kind + "-*")
	l.must(err)
	return found
}

// azureCall is a call for the network that the classic plugin had.
func (l *lab) azureCall(n *node.Node, command, id string, fields map[string]any) node.Call {
	l.Helper()
	all := map[string]any{"name": "azure"}
	maps.Copy(all, fields)
	return l.ipamCall(n, command, id, all)
}

// The classic plugin's file is taken over once, with its pods running, whichever version and mode wrote it.
func TestStateOfTheClassicPluginIsTakenOver(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join(classicDir, "*", "*"))
	if err != nil || len(dirs) != 7 {
		t.Fatalf("%v, %v", dirs, err)
	}
	for _, dir := range dirs {
		t.Run(strings.TrimPrefix(dir, classicDir+"/"), func(t *testing.T) {
			l := newLab(t, classicFabric())
			n := l.nodes[0]
			original := l.place(n, dir, "azure-vnet-ipam.json")
			l.place(n, dir, "azure-vnet.json")
			l.given(n, l.azureCall(n, "ADD", "new", nil))
			f0 := strings.Repeat("f0", 14)
			if got, want := slices.Sorted(maps.Values(l.reserved(n))),
				[]string{"new", "pod0-" + f0, "pod1-" + f0, "pod2-" + f0}; !slices.Equal(got, want) {
				t.Fatalf("%v hold addresses instead of %v", got, want)
			}
			kept := l.aside(n, "classic")
			if len(kept) != 1 || l.read(kept[0]) != original {
				t.Errorf("the original is not kept: %v", kept)
			}
			_, pools := l.state(n)
			if len(pools.Pools) != 1 || pools.Pools[0].Capacity != 255 || pools.Pools[0].Used != 4 {
				t.Errorf("pools %+v", pools.Pools)
			}
			for _, r := range pools.Pools[0].Reservations {
				if r.Network != "azure" || r.IfName != "eth0" {
					t.Errorf("reservation %+v", r)
				}
				l.wantSuccess(l.exec(n, l.azureCall(n, "DEL", r.ContainerID, nil)))
			}
			if held := l.reserved(n); len(held) != 0 {
				t.Errorf("after DEL: %v", held)
			}
			l.given(n, l.azureCall(n, "ADD", "later", nil))
			if again := l.aside(n, "classic"); len(again) != 1 {
				t.Errorf("imported again: %v", again)
			}
		})
	}
}

// Without the network state nobody knows the holders: the classic DEL frees, GC frees what no container uses,
// and so does a reboot.
func TestImportedAddressesOfUnknownHoldersAreFreed(t *testing.T) {
	t.Parallel()
	used := []string{"10.240.0.117", "10.240.0.15", "10.240.0.5"} // v1.0.33/bridge
	for name, free := range map[string]func(l *lab, n *node.Node) (left []string){
		"by the classic DEL": func(l *lab, n *node.Node) []string {
			l.wantSuccess(l.exec(n, l.azureCall(n, "DEL", "whoever", map[string]any{"ipam.ipAddress": used[0], "ipam.subnet": "10.240.0.0/16"})))
			return used[1:]
		},
		"by GC when no container uses them": func(l *lab, n *node.Node) []string {
			l.living(n, used[1])
			l.wantSuccess(l.exec(n, l.azureCall(n, "GC", "", map[string]any{"cni.dev/valid-attachments": []any{}})))
			return used[1:2]
		},
		"by a reboot": func(l *lab, n *node.Node) []string {
			text := l.read(ipamState(n))
			i := strings.Index(text, `"bootID":"`) + len(`"bootID":"`)
			l.must(os.WriteFile(ipamState(n), []byte(text[:i]+"another-"+text[i:]), 0o600))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, classicFabric())
			n := l.nodes[0]
			l.place(n, filepath.Join(classicDir, "v1.0.33/bridge"), "azure-vnet-ipam.json")
			l.given(n, l.azureCall(n, "ADD", "new", nil))
			l.wantSuccess(l.exec(n, l.azureCall(n, "DEL", "new", nil)))
			if got := slices.Sorted(maps.Keys(l.reserved(n))); !slices.Equal(got, used) {
				t.Fatalf("%v are in use instead of %v", got, used)
			}
			left := free(l, n)
			l.given(n, l.azureCall(n, "ADD", "new", nil))
			l.wantSuccess(l.exec(n, l.azureCall(n, "DEL", "new", nil)))
			if got := slices.Sorted(maps.Keys(l.reserved(n))); !slices.Equal(got, left) {
				t.Errorf("%v are in use instead of %v", got, left)
			}
		})
	}
}
