package platform

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// ErrNoCompartments is for a system without network compartments: Wine.
var ErrNoCompartments = errors.New("this system has no network compartments")

// neighborRow is MIB_IPNET_ROW2.
type neighborRow struct {
	Address               windows.RawSockaddrInet6 // SOCKADDR_INET
	InterfaceIndex        uint32
	InterfaceLUID         uint64
	PhysicalAddress       [32]byte
	PhysicalAddressLength uint32
	State                 uint32
	Flags                 uint32
	ReachabilityTime      uint32
}

// permanent is NlnsPermanent.
const permanent = 6

// AddNeighbor makes an address a permanent IPv6 neighbour of the adapter with that MAC in a network compartment, which
// is what a pod's namespace is to Windows. The adapter may take some moments to come up there.
// Error: ErrNoCompartments.
func AddNeighbor(compartment uint32, adapter net.HardwareAddr, address netip.Addr, mac net.HardwareAddr) error {
	iphlpapi := windows.NewLazySystemDLL("iphlpapi.dll")
	get, set, create := iphlpapi.NewProc("GetCurrentThreadCompartmentId"),
		iphlpapi.NewProc("SetCurrentThreadCompartmentId"), iphlpapi.NewProc("CreateIpNetEntry2")
	for _, proc := range []*windows.LazyProc{get, set, create} {
		if err := proc.Find(); err != nil {
			return fmt.Errorf("%w: %w", ErrNoCompartments, err)
		}
	}
	runtime.LockOSThread()
	was, _, _ := get.Call()
	defer func() {
		if r, _, _ := set.Call(was); r == 0 {
			runtime.UnlockOSThread() // else the thread ends with the goroutine: nobody else may find himself there
		}
	}()
	if r, _, _ := set.Call(uintptr(compartment)); r != 0 {
		return fmt.Errorf("enter network compartment %d: %w", compartment, windows.Errno(r))
	}
	luid, err := waitForAdapter(adapter)
	if err != nil {
		return fmt.Errorf("network compartment %d: %w", compartment, err)
	}
	row := neighborRow{InterfaceLUID: luid, PhysicalAddressLength: uint32(len(mac)), State: permanent}
	row.Address.Family, row.Address.Addr = windows.AF_INET6, address.As16()
	copy(row.PhysicalAddress[:], mac)
	if r, _, _ := create.Call(uintptr(unsafe.Pointer(&row))); r != 0 &&
		windows.Errno(r) != windows.ERROR_OBJECT_ALREADY_EXISTS {
		return fmt.Errorf("make %v a neighbour at %v in network compartment %d: %w", address, mac,
			compartment, windows.Errno(r))
	}
	return nil
}

// waitForAdapter finds the adapter in the compartment of this thread.
func waitForAdapter(mac net.HardwareAddr) (luid uint64, err error) {
	const patience, again = 5 * time.Second, 50 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(again) {
		found, err := adapterOf(mac)
		if found != 0 || err != nil {
			return found, err
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("there is no adapter %v", mac)
		}
	}
}

func adapterOf(mac net.HardwareAddr) (luid uint64, err error) {
	const flags = windows.GAA_FLAG_SKIP_UNICAST | windows.GAA_FLAG_SKIP_ANYCAST | windows.GAA_FLAG_SKIP_MULTICAST |
		windows.GAA_FLAG_SKIP_DNS_SERVER
	size := uint32(64 << 10)
	buffer := make([]byte, size)
	err = windows.GetAdaptersAddresses(windows.AF_UNSPEC, flags, 0,
		(*windows.IpAdapterAddresses)(unsafe.Pointer(&buffer[0])), &size)
	if errors.Is(err, windows.ERROR_NO_DATA) {
		return 0, nil // none yet
	}
	if err != nil {
		return 0, fmt.Errorf("list adapters: %w", err)
	}
	for a := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buffer[0])); a != nil; a = a.Next {
		if bytes.Equal(a.PhysicalAddress[:a.PhysicalAddressLength], mac) {
			return a.Luid, nil
		}
	}
	return 0, nil
}
