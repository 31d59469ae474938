package platform

import (
	"net"
	"net/netip"
	"testing"
	"unsafe"
)

// MIB_IPNET_ROW2 of netioapi.h, for 64 bits: its size and where its parts are.
func TestANeighborsRowIsWindows(t *testing.T) {
	t.Parallel()
	var r neighborRow
	for name, c := range map[string][2]uintptr{
		"size": {unsafe.Sizeof(r), 88}, "InterfaceIndex": {unsafe.Offsetof(r.InterfaceIndex), 28},
		"InterfaceLUID":   {unsafe.Offsetof(r.InterfaceLUID), 32},
		"PhysicalAddress": {unsafe.Offsetof(r.PhysicalAddress), 40}, "PhysicalAddressLength": {unsafe.Offsetof(r.PhysicalAddressLength), 72},
		"State": {unsafe.Offsetof(r.State), 76}, "Flags": {unsafe.Offsetof(r.Flags), 80},
		"ReachabilityTime": {unsafe.Offsetof(r.ReachabilityTime), 84},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %d, want %d", name, c[0], c[1])
		}
	}
}

// Wine has none at all, Windows not this one.
func TestACompartmentThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	if err := AddNeighbor(0xfffffff0, mac, netip.MustParseAddr("fd00::1"), mac); err == nil {
		t.Error("it was found")
	}
}
