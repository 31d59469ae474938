//go:build windows

// Package conformance is a module of its own that has Microsoft's tests of HNS at hand, without putting all that they
// need into the go.mod of the plugins. They are compiled by
//
//	GOOS=windows go test -c -tags integration github.com/Microsoft/hcsshim/hcn
//
// and run by the tests of package hnssim.
package conformance

import _ "github.com/Microsoft/hcsshim/hcn" // keeps its test's dependencies in go.sum
