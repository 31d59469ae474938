// Package nft is the only place that speaks nftables: the rules of a network and the elements of its maps, and what
// others' rules do to pods. All calls work in the network namespace of the process. Linux only; on other systems the
// package is empty.
package nft
