// Package linux is the data plane of Linux: a bridge, or routes, to pods' veths, and rules of nftables. It decides what
// the host is to have (netlink and nft make it so), in which order that comes and goes, and what of it is missing.
package linux
