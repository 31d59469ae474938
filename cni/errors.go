package cni

import (
	"context"
	"errors"
	"os"
	"slices"
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
// CNI error: a *types.Error keeps its code, the plugin's own table says that of its errors, and then comes
// what is common to all (deadlines, input and output). Of several errors the first one counts: those that
// are joined to it came while undoing. Anything else is internal (999).
func ErrorOf(err error, codes []Code) *types.Error {
	var found *types.Error
	first(err, func(e error) bool {
		found = codeOf(e, err, codes)
		return found != nil
	})
	if found != nil {
		return found
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

// codeOf is the CNI error for whole if e, a part of it, has a code.
func codeOf(e, whole error, codes []Code) *types.Error {
	if own, ok := e.(*types.Error); ok { //nolint:errorlint // first unwraps
		if own.Msg == whole.Error() || own.Error() == whole.Error() {
			return own
		}
		return types.NewError(own.Code, whole.Error(), own.Details)
	}
	for _, c := range codes {
		if e == c.Err { //nolint:errorlint // first unwraps
			return types.NewError(c.Code, whole.Error(), c.Remedy)
		}
	}
	return nil
}

// first calls visit for err and everything that it wraps, in the order in which the message names it, until
// visit says that it has found something.
func first(err error, visit func(error) bool) bool {
	if err == nil || visit(err) {
		return err != nil
	}
	switch w := err.(type) { //nolint:errorlint // it unwraps
	case interface{ Unwrap() error }:
		return first(w.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(w.Unwrap(), func(e error) bool { return first(e, visit) })
	}
	return false
}

// Unavailable is the answer of STATUS when ADD could not work now (CNI specification 1.1, STATUS). What a person can do
// about it is what ADD would say. Who has answered so already, or that pods have limited connectivity (51), is not
// changed.
func Unavailable(err error, codes []Code) error {
	var said *types.Error
	if err == nil || errors.As(err, &said) && (said.Code == codeUnavailable || said.Code == codeUnavailable+1) {
		return err
	}
	return types.NewError(codeUnavailable, "not ready: "+err.Error(), ErrorOf(err, codes).Details)
}

// unsupported is code 2: a value that we cannot act on. Specification: the message names key and value.
func unsupported(key, value, why string) error {
	return types.NewError(codeNotSupported, "unsupported value in the network configuration: "+key+"="+value, why)
}

// Invalid is code 7: a value that is wrong. The message names key and value.
func Invalid(key, value, why string) error {
	return types.NewError(types.ErrInvalidNetworkConfig, "invalid network configuration: "+key+"="+value, why)
}
