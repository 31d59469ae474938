// Package netlink is the only place that speaks rtnetlink. Its calls say what a network needs (EnsureBridge, AddPod …);
// the encoding of messages stays in rtnl, and what a host's interface carries in hostconf. All calls work in the
// network namespace of the process. Linux only; on other systems the package is empty.
package netlink
