//go:build linux

package fabric

import (
	"strings"
	"testing"
)

// A machine that is switched off and on has its NIC with its own addresses, and nothing else of what it had.
func TestAMachineBeginsAnew(t *testing.T) {
	f := Start(t, DefaultDual(2, 3))
	vm, other := f.VMs[0], f.VMs[1].Config.NICs[0]
	pod, err := vm.NewPod("web")
	requireNoError(t, err)
	process := vm.Ns.Command(t.Context(), "sleep", "1000")
	requireNoError(t, process.Start())
	const given = `set -e
ip link add br0 type bridge
ip link set br0 up
ip link set eth0 master br0
ip addr add 10.240.0.9/16 dev eth0
ip rule add pref 1000 lookup 100
nft add table ip mine
sysctl -qw net.ipv4.ip_forward=1`
	if out, err := vm.Ns.Command(t.Context(), "sh", "-c", given).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	requireNoError(t, vm.Restart())
	if err := process.Wait(); err == nil {
		t.Error("a process ended by itself")
	}
	if _, err := pod.Dial(t.Context(), "tcp", "10.240.0.1:1"); err == nil || !strings.Contains(err.Error(), ErrClosed.Error()) {
		t.Errorf("a pod outlasts its machine: %v", err)
	}
	out, err := vm.Ns.Command(t.Context(), "sh", "-c",
		"ip -o link; ip -o addr; ip rule; nft list ruleset; sysctl net.ipv4.ip_forward").CombinedOutput()
	requireNoError(t, err)
	for _, old := range []string{"br0", "10.240.0.9", "1000:", "mine", "ip_forward = 1"} {
		if strings.Contains(string(out), old) {
			t.Errorf("%q is there still:\n%s", old, out)
		}
	}
	requirePing(t, vm.Ns, gateway, PingOptions{}, 64)
	requirePing(t, vm.Ns, other.Address, PingOptions{}, 63)
	requirePing(t, vm.Ns, other.Address6, PingOptions{}, 63)
	requirePing(t, f.VMs[1].Ns, vm.Config.NICs[0].Address, PingOptions{}, 63)
	if c, err := f.Counters(); err != nil || c.Violations() != (Counters{}) {
		t.Errorf("%v %v", c, err)
	}
}
