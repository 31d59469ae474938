// Command kernels runs end-to-end tests on other kernels than the machine's, in qemu: "make test-kernels".
//
// Each kernel is one of Debian's, from its package, as scripts/setup.sh unpacked it. The guest has no disk and no
// network card: its root is an archive in memory with the kernel's modules, the tests, the plugins, and the few tools
// that the tests call, copied from this machine. Its init is this program again, which runs the tests and reports by a
// serial port. What the guest says last, and nothing else, is believed: a guest that hangs, panics, or skips a test has
// failed.
//
// The guest named azl3 is 6.1 without what Azure Linux 3 lacks: see cut.
package main
