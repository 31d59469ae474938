package hnssim

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// HRESULTs, from winerror.h; golang.org/x/sys/windows has them, too.
const (
	ElementNotFound   = 0x80070490 // HRESULT_FROM_WIN32(ERROR_NOT_FOUND)
	NetworkNotFound   = 0x803B0001
	EndpointNotFound  = 0x803B0002
	AdapterNotFound   = 0x803B0006
	PolicyNotFound    = 0x803B0008
	InvalidNetwork    = 0x803B000A
	InvalidType       = 0x803B000B
	InvalidEndpoint   = 0x803B000C
	InvalidPolicy     = 0x803B000D
	InvalidPolicyType = 0x803B000E
	NetworkExists     = 0x803B0010
	PolicyExists      = 0x803B0012
	PortExists        = 0x803B0013
	AlreadyAttached   = 0x803B0014
	Unsupported       = 0x803B0015
	InvalidJSON       = 0x803B001B
	InvalidIP         = 0x803B001E
	AddressReserved   = 0x803B002F
	SystemNotFound    = 0xC037010E // HCS: the container is not there
	Timeout           = 0x800705B4 // HRESULT_FROM_WIN32(ERROR_TIMEOUT)

	eFail    = 0x80004005
	eNotImpl = 0x80004001
)

// hresult is an error as HNS reports it.
type hresult struct {
	code   uint32
	text   string
	answer *selftest.Answer // how it is said, where that is known
}

func (e *hresult) Error() string { return fmt.Sprintf("%s (0x%08X)", e.text, e.code) }

func fail(code uint32, format string, args ...any) error {
	return &hresult{code: code, text: fmt.Sprintf(format, args...)}
}

func codeOf(err error) uint32 {
	var h *hresult
	switch {
	case err == nil:
		return 0
	case errors.As(err, &h):
		return h.code
	}
	return eFail
}

// record is what is said of an error beside its code; empty if nothing is.
func record(err error) string {
	var h *hresult
	if !errors.As(err, &h) || h.answer == nil {
		return encode(map[string]any{"Success": false, "Error": err.Error(), "ErrorCode": codeOf(err)})
	}
	if h.answer.Error == "" && h.answer.ErrorCode == 0 {
		return ""
	}
	return encode(map[string]any{"Success": false, "Error": h.answer.Error, "ErrorCode": uint32(h.answer.ErrorCode)})
}

// returned is what the call itself returns.
func returned(err error) uint32 {
	var h *hresult
	if errors.As(err, &h) && h.answer != nil {
		return uint32(h.answer.HRESULT)
	}
	return codeOf(err)
}

// missing is what both interfaces say of an object that is not there.
func (m *model) missing(kind string) error {
	c, code := selftest.MissingNamespace, uint32(ElementNotFound)
	switch kind {
	case KindNetwork:
		c, code = selftest.MissingNetwork, NetworkNotFound
	case KindEndpoint:
		c, code = selftest.MissingEndpoint, EndpointNotFound
	}
	if err := m.refuse(c, "there is no such %s", kind); err != nil {
		return err
	}
	return fail(code, "there is no such %s", kind)
}
