//go:build linux

package fabric

import (
	"strings"
	"testing"
	"time"
)

// A VM believes what the router says, for as long as it says.
func TestARouterIsBelievedWhileItSpeaks(t *testing.T) {
	f := Start(t, DefaultDual(1, 1))
	vm := f.VMs[0]
	ip := func(args ...string) string {
		out, err := vm.Ns.Command(t.Context(), "ip", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	ip("-6", "route", "del", "default")
	show := func() string { return ip("-6", "route", "show", "dev", "eth0") }
	until := func(there bool, what string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); strings.Contains(show(),
			"default via "+GatewayLinkLocal.String()) != there; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %s", what, show())
			}
		}
	}
	stop, err := vm.Advertise(Advertisement{Every: 500 * time.Millisecond, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	until(true, "the router is not believed")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	stop, err = vm.Advertise(Advertisement{Every: time.Hour}) // it says good-bye
	if err != nil {
		t.Fatal(err)
	}
	until(false, "the router is believed still")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
