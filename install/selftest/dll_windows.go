package selftest

import (
	"net"
	"net/netip"
	"unsafe"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/platform"
	"golang.org/x/sys/windows"
)

// dlls are HNS as Windows has it, asked as hcsshim asks, but without a library between: what is told is what HNS says.
type dlls struct{ v1, v2 *windows.LazyDLL }

// Windows returns HNS of this machine.
func Windows() Service {
	return dlls{windows.NewLazySystemDLL("vmcompute.dll"), windows.NewLazySystemDLL("computenetwork.dll")}
}

// V1 implements Service.
func (d dlls) V1(method, path, body string) (string, HRESULT) {
	var response *uint16
	code := call(d.v1, "HNSCall", uintptr(unsafe.Pointer(wide(method))), uintptr(unsafe.Pointer(wide(path))),
		uintptr(unsafe.Pointer(wide(body))), uintptr(unsafe.Pointer(&response)))
	return take(response), code
}

// V2 implements Service.
func (d dlls) V2(op, kind, id, body string) (string, HRESULT) {
	var guid windows.GUID
	if id != "" {
		var err error
		if guid, err = windows.GUIDFromString("{" + id + "}"); err != nil {
			return err.Error(), HRESULT(windows.E_INVALIDARG)
		}
	}
	var reply, result *uint16
	switch op {
	case "Enumerate":
		code := call(d.v2, "HcnEnumerate"+kind+"s", uintptr(unsafe.Pointer(wide(body))), uintptr(unsafe.Pointer(&reply)),
			uintptr(unsafe.Pointer(&result)))
		return answer(code, reply, result)
	case "Delete":
		code := call(d.v2, "HcnDelete"+kind, uintptr(unsafe.Pointer(&guid)), uintptr(unsafe.Pointer(&result)))
		return answer(code, nil, result)
	case "Create":
		return d.create(kind, guid, body)
	}
	handle, record, code := d.open(kind, guid)
	if code != 0 {
		return record, code
	}
	defer d.close(kind, handle)
	if op == "Modify" {
		code = call(d.v2, "HcnModify"+kind, handle, uintptr(unsafe.Pointer(wide(body))), uintptr(unsafe.Pointer(&result)))
		return answer(code, nil, result)
	}
	return d.properties(kind, handle, body)
}

// AddNeighbor implements Service.
func (dlls) AddNeighbor(compartment uint32, adapter net.HardwareAddr, hop netip.Addr) error {
	return platform.AddNeighbor(compartment, adapter, hop, azure.FabricMAC)
}

// create makes an object, an endpoint in the network of that ID, and returns its properties. The ID that is asked for
// is zero: HNS makes one.
func (d dlls) create(kind string, network windows.GUID, body string) (string, HRESULT) {
	var zero windows.GUID
	var handle uintptr
	var result *uint16
	var code HRESULT
	if kind == kindEndpoint {
		parent, record, opened := d.open(kindNetwork, network)
		if opened != 0 {
			return record, opened
		}
		defer d.close(kindNetwork, parent)
		code = call(d.v2, "HcnCreateEndpoint", parent, uintptr(unsafe.Pointer(&zero)), uintptr(unsafe.Pointer(wide(body))),
			uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(&result)))
	} else {
		code = call(d.v2, "HcnCreate"+kind, uintptr(unsafe.Pointer(&zero)), uintptr(unsafe.Pointer(wide(body))),
			uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(&result)))
	}
	if code != 0 {
		return answer(code, nil, result)
	}
	take(result)
	defer d.close(kind, handle)
	return d.properties(kind, handle, `{"SchemaVersion":{"Major":2,"Minor":0},"Flags":0}`)
}

func (d dlls) open(kind string, guid windows.GUID) (handle uintptr, record string, code HRESULT) {
	var result *uint16
	code = call(d.v2, "HcnOpen"+kind, uintptr(unsafe.Pointer(&guid)), uintptr(unsafe.Pointer(&handle)),
		uintptr(unsafe.Pointer(&result)))
	record, code = answer(code, nil, result)
	return handle, record, code
}

func (d dlls) close(kind string, handle uintptr) { call(d.v2, "HcnClose"+kind, handle) }

func (d dlls) properties(kind string, handle uintptr, query string) (string, HRESULT) {
	var properties, result *uint16
	code := call(d.v2, "HcnQuery"+kind+"Properties", handle, uintptr(unsafe.Pointer(wide(query))),
		uintptr(unsafe.Pointer(&properties)), uintptr(unsafe.Pointer(&result)))
	return answer(code, properties, result)
}

// call calls an export. One that is missing, or whose DLL is, is not implemented: this Windows has no HCN. What the
// arguments point to stays where it is until it returns.
//
//go:uintptrescapes
func call(dll *windows.LazyDLL, name string, args ...uintptr) HRESULT {
	proc := dll.NewProc(name)
	if proc.Find() != nil {
		return notImplemented
	}
	r, _, _ := proc.Call(args...) // the error would be GetLastError's, which means nothing here
	if int32(r) < 0 {
		return HRESULT(r)
	}
	return 0
}

// answer is the reply of a call, or its error record. Both are freed.
func answer(code HRESULT, reply, result *uint16) (string, HRESULT) {
	text, record := take(reply), take(result)
	if code != 0 {
		return record, code
	}
	return text, 0
}

// wide is a text for a call; nil if it cannot be one, because it has a NUL.
func wide(s string) *uint16 {
	p, err := windows.UTF16PtrFromString(s)
	if err != nil {
		return nil
	}
	return p
}

// take reads a text that HNS has allocated, and frees it.
func take(p *uint16) string {
	if p == nil {
		return ""
	}
	defer windows.CoTaskMemFree(unsafe.Pointer(p))
	return windows.UTF16PtrToString(p)
}
