//go:build linux

package soak

import "sync/atomic"

// excuse knows while when a fault explains what otherwise must not happen.
type excuse struct {
	open  atomic.Int64 // faults under way
	begun atomic.Int64 // faults so far
}

// begin starts a fault, and returns what ends it.
func (e *excuse) begin() (end func()) {
	e.open.Add(1)
	e.begun.Add(1)
	return func() { e.open.Add(-1) }
}

// watch returns a function that says whether a fault was under way at any time since.
func (e *excuse) watch() (excused func() bool) {
	open, begun := e.open.Load() > 0, e.begun.Load()
	return func() bool { return open || e.begun.Load() != begun }
}
