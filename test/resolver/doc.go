// Package resolver is a system bus of its own with a strict stand-in for systemd-resolved on it, for tests: the
// methods of org.freedesktop.resolve1(5) that set links, with its types and errors.
package resolver
