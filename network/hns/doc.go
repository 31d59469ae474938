// Package hns is the data plane of Windows: networks and endpoints of the Host Networking Service. All but the calls
// themselves is built, and tested, on every system.
package hns
