package platform_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/vishvananda/netlink"
)

const searching = "SEARCH_NAMESPACES"

// TestHelperThatSearches is no test. NamespaceAddresses starts from the network namespace of the process, so a process
// of its own calls it inside of a simulated VM.
func TestHelperThatSearches(t *testing.T) {
	if os.Getenv(searching) == "" {
		t.Skip("runs in a process of its own")
	}
	addrs, err := platform.NamespaceAddresses()
	fmt.Printf("found %v %v\n", addrs, err)
}

// search runs NamespaceAddresses in the namespace, in a mount namespace of its own that the script prepares.
func search(t *testing.T, ns *fabric.Namespace, script string) string {
	t.Helper()
	cmd := ns.Command(t.Context(), "/bin/sh", "-c", "mount --make-rprivate / && "+script+` exec "$@"`, "sh", os.Args[0],
		"-test.run=^TestHelperThatSearches$")
	cmd.Env = append(os.Environ(), searching+"=1")
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// pod makes a namespace with an address, linked to the VM by a veth if it is asked for.
func pod(t *testing.T, vm *fabric.VM, name, address string, linked bool) *fabric.Namespace {
	t.Helper()
	ns, err := vm.NewPod(name)
	must(t, err)
	f, err := os.Open(ns.Path())
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	in := ns
	var peer any = netlink.NsFd(int(f.Fd()))
	if linked {
		in = vm.Ns
	} else {
		peer = nil
	}
	must(t, in.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "h" + name}, PeerName: "eth0", PeerNamespace: peer})
	}))
	must(t, ns.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, a)
	}))
	return ns
}

// live starts a process in the namespace that stays until the test ends.
func live(t *testing.T, ns *fabric.Namespace) {
	t.Helper()
	cmd := ns.Command(t.Context(), "cat")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantFound requires these addresses among what was found, and none of the others.
func wantFound(t *testing.T, line string, want, not []string) {
	t.Helper()
	found := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(line))
	for _, a := range want {
		if !slices.Contains(found, a) {
			t.Errorf("%s is not in %q", a, line)
		}
	}
	for _, a := range not {
		if slices.Contains(found, a) {
			t.Errorf("%s is in %q", a, line)
		}
	}
	if len(found) == 0 || found[len(found)-1] != "<nil>" {
		t.Errorf("an error: %q", line)
	}
}

func TestAddressesOfPodsAreFoundByTheirProcesses(t *testing.T) {
	t.Parallel()
	vm := fabric.Start(t, fabric.Default(1, 4)).VMs[0]
	live(t, pod(t, vm, "a", "10.240.1.1/32", true))
	live(t, pod(t, vm, "b", "fd00::1:2/128", true))
	wantFound(t, search(t, vm.Ns, ""), []string{"10.240.1.1", "fd00::1:2"}, nil)
}

func TestAddressesOfPodsAreFoundByTheirMounts(t *testing.T) {
	t.Parallel()
	vm := fabric.Start(t, fabric.Default(1, 4)).VMs[0]
	ns := pod(t, vm, "a", "10.240.1.1/32", true)
	wantFound(t, search(t, vm.Ns, ""), nil, []string{"10.240.1.1"}) // a namespace without process and mount cannot be found
	mount := filepath.Join(t.TempDir(), "a namespace")
	must(t, os.WriteFile(mount, nil, 0o600))
	wantFound(t, search(t, vm.Ns, fmt.Sprintf("mount --bind %s '%s' &&", ns.Path(), mount)), []string{"10.240.1.1"}, nil)
}

// The VM's own addresses are not a pod's, and a namespace without a link to it is another host's.
func TestOwnAndForeignNamespacesAreLeftOut(t *testing.T) {
	t.Parallel()
	vms := fabric.Start(t, fabric.Default(2, 4)).VMs
	live(t, pod(t, vms[0], "a", "10.240.1.1/32", true))
	live(t, pod(t, vms[0], "b", "10.240.1.2/32", false))
	live(t, pod(t, vms[1], "c", "10.240.2.1/32", true))
	wantFound(t, search(t, vms[0].Ns, ""), []string{"10.240.1.1"}, []string{"10.240.0.4", "10.240.1.2", "10.240.2.1", "10.240.0.5"})
}
