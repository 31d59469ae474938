package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// hnsCall is HNSCall(method, path, body, *answer), by which all of HNS's clients list endpoints, those of HCN among
// them. hcsshim has it, too, with more than an IPAM plugin shall carry.
var hnsCall = windows.NewLazySystemDLL("vmcompute.dll").NewProc("HNSCall")

// hnsLimit is how long HNS may take to list its endpoints: it can hang.
const hnsLimit = 20 * time.Second

// NamespaceAddresses finds the addresses that containers of this host use, whoever connected them: HNS has an endpoint
// for each, and survives the plugins' files. One that is attached to nothing serves nobody. A Windows without HNS has
// no containers.
func NamespaceAddresses() ([]netip.Addr, error) {
	if hnsCall.Find() != nil {
		return nil, nil
	}
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := askHNS("GET", "/endpoints/")
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return nil, fmt.Errorf("list the endpoints of HNS: %w", a.err)
		}
		return attachedAddresses(a.text)
	case <-time.After(hnsLimit):
		return nil, fmt.Errorf("list the endpoints of HNS: no answer in %s", hnsLimit)
	}
}

// askHNS calls HNS v1. Its answer is text that HNS has allocated.
func askHNS(method, path string) (string, error) {
	var words [3]*uint16
	for i, text := range []string{method, path, ""} {
		p, err := windows.UTF16PtrFromString(text)
		if err != nil {
			return "", err
		}
		words[i] = p
	}
	var answer *uint16
	result, _, _ := hnsCall.Call(uintptr(unsafe.Pointer(words[0])), uintptr(unsafe.Pointer(words[1])),
		uintptr(unsafe.Pointer(words[2])), uintptr(unsafe.Pointer(&answer)))
	if hr := int32(result); hr < 0 {
		return "", fmt.Errorf("HRESULT 0x%08X", uint32(hr))
	}
	if answer == nil {
		return "", errors.New("an empty answer")
	}
	defer windows.CoTaskMemFree(unsafe.Pointer(answer))
	return windows.UTF16PtrToString(answer), nil
}

// States of an endpoint in HNS v1 (hcsshim, EndpointState).
const (
	hnsUnknown         = 0
	hnsAttached        = 2
	hnsAttachedSharing = 3
)

// attachedAddresses reads the answer of HNS. An endpoint of another host is none of a container here. Of one whose
// state is not told it is believed that it serves somebody.
func attachedAddresses(text string) (list []netip.Addr, err error) {
	var answer struct {
		Success bool
		Error   string
		Output  []struct {
			IPAddress, IPv6Address string
			IsRemoteEndpoint       bool
			State                  int
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("the answer of HNS: %w", err)
	}
	if !answer.Success {
		return nil, fmt.Errorf("HNS: %s", answer.Error)
	}
	for _, e := range answer.Output {
		if e.IsRemoteEndpoint || e.State != hnsAttached && e.State != hnsAttachedSharing && e.State != hnsUnknown {
			continue
		}
		for _, a := range []string{e.IPAddress, e.IPv6Address} {
			if ip, err := netip.ParseAddr(a); err == nil {
				list = append(list, ip.Unmap())
			}
		}
	}
	return list, nil
}
