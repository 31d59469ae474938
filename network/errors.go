package network

import "errors"

// Errors of the manager and the data planes. Each is wrapped with what it is about.
var (
	// ErrExists: the owner has a ready endpoint, or the pod has an interface of that name.
	ErrExists = errors.New("endpoint exists already")
	// ErrMaster: the master interface was not found or cannot be used.
	ErrMaster = errors.New("master interface not usable")
	// ErrNoPort: the master is there, but the kernel does not take it into a bridge.
	ErrNoPort = errors.New("master interface taken")
	// ErrDifference: CHECK found a difference between what shall be and what is.
	ErrDifference = errors.New("check failed")
	// ErrKernel: the kernel or HNS lacks something that the mode needs.
	ErrKernel = errors.New("the operating system lacks a feature")
	// ErrLost: the host has pods that no state names, and of which not enough could be found out to connect them as ours.
	ErrLost = errors.New("the host has veths of pods that cannot be found")
	// ErrUnsupported: a configuration that cannot be served here.
	ErrUnsupported = errors.New("not supported")
	// ErrConflict: the configuration contradicts a network that has endpoints.
	ErrConflict = errors.New("network is in use with another configuration")
	// ErrAddress: the IPAM plugin gave an address that no pod can have. The message says whose it is.
	ErrAddress = errors.New("no pod can have the address")
	// ErrRoutes: the IPAM plugin gave routes that the kernel does not take.
	ErrRoutes = errors.New("no pod can have the routes")
	// ErrNetNS: the pod's network namespace cannot be used.
	ErrNetNS = errors.New("network namespace not usable")
	// ErrLeft: the host still has something of an endpoint whose ADD failed; its addresses must not be given away.
	ErrLeft = errors.New("something of the endpoint is left on the host")
	// ErrHNS: Windows' Host Networking Service failed, or did not answer.
	ErrHNS = errors.New("the Host Networking Service failed")
	// ErrPorts: a host port that cannot be mapped.
	ErrPorts = errors.New("runtimeConfig.portMappings cannot be served")
	// ErrBusy: a lock could not be had in time.
	ErrBusy = errors.New("busy")
)
