package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	nlmFlagDumpIntr = 0x10 // NLM_F_DUMP_INTR, include/uapi/linux/netlink.h

	// The kernel fills datagrams of at most 32 KiB in a dump (netlink_recvmsg in net/netlink/af_netlink.c). Large ones make
	// a dump short, and a short one is rarely interrupted.
	dumpBuffer = 64 << 10

	// dumpTimeout ends a dump that the kernel never answers. It answers from memory, at once.
	dumpTimeout = 5 * time.Second
)

// A dump asks rtnetlink for all objects of a kind. The body of the request follows the message header.
//
// It returns the answer's messages, and whether the kernel said that the objects changed meanwhile: then some may be
// missing. Errors of one dump leave nothing behind.
func dump(request uint16, body []byte) (msgs []syscall.NetlinkMessage, interrupted bool, err error) {
	return ask(request, syscall.NLM_F_DUMP, body)
}

// ask asks for one object, or with NLM_F_DUMP for all of them.
func ask(request, how uint16, body []byte) (msgs []syscall.NetlinkMessage, interrupted bool, err error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return nil, false, os.NewSyscallError("socket", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	timeout := syscall.NsecToTimeval(dumpTimeout.Nanoseconds())
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout); err != nil {
		return nil, false, os.NewSyscallError("setsockopt", err)
	}
	if err := sendRequest(fd, request, how, body); err != nil {
		return nil, false, err
	}
	buf := make([]byte, dumpBuffer)
	for {
		n, flags, from, err := receive(fd, buf)
		if err != nil {
			return nil, false, err
		}
		if flags&syscall.MSG_TRUNC != 0 {
			return nil, false, errors.New("netlink answer larger than the buffer")
		}
		if from, ok := from.(*syscall.SockaddrNetlink); !ok || from.Pid != 0 {
			continue // not from the kernel
		}
		// The messages point into the buffer, which is used again.
		part, done, err := parseDump(append([]byte(nil), buf[:n]...))
		if err != nil {
			return nil, false, err
		}
		for _, m := range part {
			interrupted = interrupted || m.Header.Flags&nlmFlagDumpIntr != 0
		}
		msgs = append(msgs, part...)
		if done || how&syscall.NLM_F_DUMP == 0 {
			return msgs, interrupted, nil
		}
	}
}

func sendRequest(fd int, request, how uint16, body []byte) error {
	b := make([]byte, 0, syscall.NLMSG_HDRLEN+len(body))
	ne := binary.NativeEndian
	b = ne.AppendUint32(b, uint32(syscall.NLMSG_HDRLEN+len(body)))
	b = ne.AppendUint16(b, request)
	b = ne.AppendUint16(b, syscall.NLM_F_REQUEST|how)
	b = ne.AppendUint32(b, 1) // sequence number: there is one request per socket
	b = ne.AppendUint32(b, 0) // port: the kernel fills in the socket's
	b = append(b, body...)
	for {
		err := syscall.Sendto(fd, b, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("sendto", err)
		}
	}
}

func receive(fd int, buf []byte) (int, int, syscall.Sockaddr, error) {
	for {
		n, _, flags, from, err := syscall.Recvmsg(fd, buf, nil, 0)
		if !errors.Is(err, syscall.EINTR) {
			return n, flags, from, os.NewSyscallError("recvmsg", err)
		}
	}
}

// parseDump splits one datagram. Done says that it contained the end of the dump. The messages returned include the end
// message, whose flags count, too.
func parseDump(b []byte) (msgs []syscall.NetlinkMessage, done bool, err error) {
	msgs, err = syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil, false, fmt.Errorf("netlink answer: %w", err)
	}
	for i, m := range msgs {
		switch m.Header.Type {
		case syscall.NLMSG_DONE:
			// The end carries the dump's result: 0, or a negative error number (netlink_dump_done).
			return msgs[:i+1], true, netlinkError(m.Data)
		case syscall.NLMSG_ERROR:
			if err := netlinkError(m.Data); err != nil {
				return nil, false, err
			}
			return nil, false, errors.New("netlink answer: acknowledgement instead of a dump")
		}
	}
	return msgs, false, nil
}

func netlinkError(data []byte) error {
	if len(data) < 4 {
		return nil
	}
	if code := int32(binary.NativeEndian.Uint32(data)); code < 0 {
		return fmt.Errorf("netlink answer: %w", syscall.Errno(-code))
	}
	return nil
}

// attr is one attribute of an rtnetlink message.
type attr struct {
	kind  uint16
	value []byte
}

// parseAttrs splits a sequence of attributes, and stops at the first that does not fit. The kernel makes none such.
func parseAttrs(b []byte) []attr {
	var out []attr
	for len(b) >= syscall.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < syscall.SizeofRtAttr || size > len(b) {
			break
		}
		const flags = 0xc000 // NLA_F_NESTED, NLA_F_NET_BYTEORDER
		out = append(out, attr{binary.NativeEndian.Uint16(b[2:]) &^ flags, b[syscall.SizeofRtAttr:size]})
		b = b[min(len(b), (size+3)&^3):]
	}
	return out
}

// text is a NUL-terminated string.
func (a attr) text() string {
	for i, c := range a.value {
		if c == 0 {
			return string(a.value[:i])
		}
	}
	return string(a.value)
}

// number is a 32-bit number in the machine's byte order; 0 if the attribute is too short.
func (a attr) number() int {
	if len(a.value) < 4 {
		return 0
	}
	return int(binary.NativeEndian.Uint32(a.value))
}
