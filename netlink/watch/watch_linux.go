package watch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// Changes tells of each change of the host's links, addresses, routes, forwarding and nftables, who made it if the
// kernel says so ("" if not). Changes of nftables by a program of the name own are left out. What comes faster than it
// is taken counts once. It ends with ctx.
func Changes(ctx context.Context, own string) (<-chan string, error) {
	links, err := listenTo(unix.NETLINK_ROUTE, nil, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
		unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return nil, err
	}
	rules, err := listenTo(unix.NETLINK_NETFILTER, newGeneration(), nfnlgrpNFTables)
	if err != nil {
		return nil, errors.Join(err, links.Close())
	}
	changes := make(chan string, 1)
	context.AfterFunc(ctx, func() { _ = errors.Join(links.Close(), rules.Close()) })
	tell := func(who string) {
		select {
		case changes <- who:
		default:
		}
	}
	go listen(links, func([]byte) { tell("") })
	go listen(rules, func(message []byte) {
		if who := committer(message); who != own {
			tell(who)
		}
	})
	return changes, nil
}

// nfnlgrpNFTables: include/uapi/linux/netfilter/nfnetlink.h.
const nfnlgrpNFTables = 7

// listenTo opens a socket for the groups.
func listenTo(protocol int, filter []unix.SockFilter, groups ...int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel: %w", err)
	}
	if filter != nil {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	for _, g := range groups {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen to the kernel: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// listen calls heard for each message, or for several. When more came than the socket holds, it cannot know what.
func listen(socket *os.File, heard func([]byte)) {
	buf := make([]byte, 1<<16)
	for {
		n, err := socket.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			heard(nil)
		case err != nil && !errors.Is(err, unix.EINTR):
			return // closed
		case err == nil:
			heard(buf[:n])
		}
	}
}

// newGeneration lets the kernel leave out what a transaction did, message by message: a proxy's may have thousands. At
// the end of each comes one that says who made it (net/netfilter/nf_tables_api.c, nf_tables_gen_notify).
func newGeneration() []unix.SockFilter {
	typ := uint16(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN)
	network := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&typ))[:]) // as the filter loads it
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4}, // struct nlmsghdr: nlmsg_type
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(network), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
}

// committer is the name of the program that changed nftables.
func committer(message []byte) string {
	const headers = unix.NLMSG_HDRLEN + 4 // struct nlmsghdr, struct nfgenmsg
	if len(message) < headers {
		return ""
	}
	attrs, err := wire.ParseAttrs(message[headers:])
	if err != nil {
		return ""
	}
	return attrs.Text(unix.NFTA_GEN_PROC_NAME)
}
