// Package ipamtest holds a simulator of the Azure host agent, the service at
// 168.63.129.16 that tells a virtual machine which addresses its network
// interfaces own. It answers well-formed queries like the real agent, refuses
// everything else, and misbehaves on request in the ways a client must survive.
//
// The simulator is an [net/http.Handler]: serve it with net/http/httptest for
// tests of the client alone, or let package test/fabric serve it inside a
// simulated virtual network.
package ipamtest
