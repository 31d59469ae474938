// Package resolved carries the DNS settings of a link to another one in systemd-resolved, by its D-Bus API
// (org.freedesktop.resolve1(5)). The host's addresses move to the bridge; resolved asks only the DNS servers of links
// that have addresses.
package resolved
