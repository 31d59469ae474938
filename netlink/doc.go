// Package netlink is the only place that speaks rtnetlink and nftables. Its calls say what a network needs
// (EnsureBridge, AddPod, EnsureRules …); the encoding of messages stays in here. All calls work in the
// network namespace of the process. Linux only; on other systems the package is empty.
package netlink
