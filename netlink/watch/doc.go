// Package watch hears of what changes on a host: links, addresses, routes, policy rules, forwarding and nftables. It
// asks nothing. Linux only; on other systems the package is empty.
package watch
