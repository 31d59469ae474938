package cni

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/containernetworking/cni/pkg/types"
)

// Error codes of the plugins beside those of the CNI specification (1–7, 11, 50, 51). Operators meet
// them in kubelet events, so they never change their meaning (docs/cni.md, "Error codes").
const (
	CodeNoAddress    uint = 100 // no free address in the pool
	CodeNoPool       uint = 101 // no host interface matches what the source lists
	CodeMaster       uint = 102 // master interface not found or not usable
	CodeExists       uint = 103 // the endpoint, or an interface of that name, exists already
	CodeDifference   uint = 104 // CHECK found a difference
	CodeKernel       uint = 105 // the kernel or HNS lacks something that the mode needs
	CodeState        uint = 106 // a state file is unusable and not recoverable
	CodeDefect       uint = 999 // a defect of ours
	codeUnavailable  uint = 50  // STATUS: ADD could not work (CNI specification 1.1, STATUS)
	codeNotSupported      = types.ErrUnsupportedField
)

// Code says which CNI error code stands for a Go error, and what a person can do about it.
type Code struct {
	Err    error  // matched by errors.Is
	Code   uint   // CNI error code
	Remedy string // printed in "details" when the error brings no details of its own
}

// ErrorOf turns any error into the one that is printed. It is the only place where a Go error becomes a
// CNI error: what is a *types.Error already stays as it is, the plugin's own table comes next, then what
// is common to all (deadlines, input and output). Anything else is internal (999).
func ErrorOf(err error, codes []Code) *types.Error {
	var e *types.Error
	if errors.As(err, &e) {
		if e.Msg == err.Error() || e.Error() == err.Error() {
			return e
		}
		return types.NewError(e.Code, err.Error(), e.Details)
	}
	for _, c := range codes {
		if errors.Is(err, c.Err) {
			return types.NewError(c.Code, err.Error(), c.Remedy)
		}
	}
	var path *os.PathError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return types.NewError(types.ErrTryAgainLater, err.Error(), "the command ran out of time; the runtime will try again")
	case errors.As(err, &path), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS):
		return types.NewError(types.ErrIOFailure, err.Error(), "")
	}
	return types.NewError(types.ErrInternal, err.Error(), "")
}

// Unavailable is the answer of STATUS when ADD could not work now (CNI specification 1.1, STATUS).
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return types.NewError(codeUnavailable, "not ready: "+err.Error(), "")
}

// unsupported is code 2: a value that we cannot act on. Specification: the message names key and value.
func unsupported(key, value, why string) error {
	return types.NewError(codeNotSupported, "unsupported value in the network configuration: "+key+"="+value, why)
}

// Invalid is code 7: a value that is wrong. The message names key and value.
func Invalid(key, value, why string) error {
	return types.NewError(types.ErrInvalidNetworkConfig, "invalid network configuration: "+key+"="+value, why)
}
