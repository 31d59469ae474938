package platform

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestSysctlWorksInTheCallersNamespaceAndWithDotsInNames(t *testing.T) {
	t.Parallel()
	inNewNetns(t, func(t *testing.T) {
		addLink(t, &netlink.Bridge{LinkAttrs: attrs("eth0.100")})
		name := []string{"net", "ipv4", "conf", "eth0.100", "proxy_arp"}
		before, err := Sysctl(name...)
		check(t, err)
		check(t, SetSysctl("1", name...))
		after, err := Sysctl(name...)
		check(t, err)
		if before != "0" || after != "1" {
			t.Errorf("proxy_arp went from %q to %q, want 0 to 1", before, after)
		}
	})
}

func TestSysctlRefusesNamesThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	for _, name := range [][]string{nil, {}, {""}, {"net", ""}, {".."}, {"net", "..", "kernel"}, {"net/ipv4"}, {"net", "."}, {"a\x00b"}} {
		if _, err := Sysctl(name...); err == nil {
			t.Errorf("Sysctl(%q) gave no error", name)
		}
		if err := SetSysctl("1", name...); err == nil {
			t.Errorf("SetSysctl(%q) gave no error", name)
		}
	}
}

func TestSysctlThatTheKernelLacks(t *testing.T) {
	t.Parallel()
	if _, err := Sysctl("net", "ipv4", "conf", "nosuch0", "forwarding"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v, want fs.ErrNotExist", err)
	}
	if err := SetSysctl("1", "net", "ipv4", "conf", "nosuch0", "forwarding"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set: %v, want fs.ErrNotExist", err)
	}
}

func TestSetSysctlDoesNotWriteAValueThatIsThere(t *testing.T) {
	t.Parallel()
	present, err := Sysctl("kernel", "ostype") // read-only, even for root
	if err != nil {
		t.Fatal(err)
	}
	if err := SetSysctl(present, "kernel", "ostype"); err != nil {
		t.Errorf("set the present value: %v", err)
	}
	if err := SetSysctl("other", "kernel", "ostype"); err == nil {
		t.Error("setting a read-only parameter gave no error")
	}
}
