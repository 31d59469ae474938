// Package windows holds the end-to-end tests of the Windows binaries: azure-vnet.exe and azure-vnet-ipam.exe on Wine,
// on a VM of test/fabric, with the simulated HNS of test/hnssim. "make test-windows" runs them (docs/windows.md).
package windows
