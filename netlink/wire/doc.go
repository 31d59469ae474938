// Package wire is the netlink protocol: messages and attributes as the kernel writes them. It knows nothing of what
// they are about, and uses no library, so that the smallest of our programs can afford it. Linux only; on other systems
// the package is empty.
package wire
