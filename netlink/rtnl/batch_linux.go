package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Batch is a list of rtnetlink requests that goes to the kernel in one sendmsg. The kernel works through
// all of them inside that one system call (net/netlink/af_netlink.c, netlink_rcv_skb), so a kill falls
// before the batch or after it, never between two messages.
type Batch struct {
	buf   []byte
	steps []step
}

type step struct {
	seq    uint32
	what   string          // for messages: "add address 10.240.0.4/16 to azure0"
	ignore []syscall.Errno // what is no failure

	explain func(syscall.Errno) error // what a failure means; nil is what it says
}

// Anything as an error to ignore means that a step may fail.
const Anything syscall.Errno = 0

// Add appends a request. The kernel goes on after a message that fails; ignore lists the errors that mean
// that there was nothing to do.
func (b *Batch) Add(what string, req *nl.NetlinkRequest, ignore ...syscall.Errno) {
	req.Flags |= unix.NLM_F_REQUEST | unix.NLM_F_ACK
	b.buf = append(b.buf, req.Serialize()...)
	for len(b.buf)%unix.NLMSG_ALIGNTO != 0 {
		b.buf = append(b.buf, 0)
	}
	b.steps = append(b.steps, step{seq: req.Seq, what: what, ignore: ignore})
}

// Explain says what it means if the request that was appended last fails.
func (b *Batch) Explain(why func(syscall.Errno) error) { b.steps[len(b.steps)-1].explain = why }

// Empty says whether there is nothing to ask for.
func (b *Batch) Empty() bool { return len(b.steps) == 0 }

// Send hands the batch to the kernel and reads all acknowledgements. The error joins all failures.
func (b *Batch) Send(s *wire.Socket) error {
	if b.Empty() {
		return nil
	}
	b.makeRoom(s)
	if err := s.Send(b.buf); err != nil {
		return fmt.Errorf("send %d netlink messages (%s …): %w", len(b.steps), b.steps[0].what, err)
	}
	var failed error
	for open := len(b.steps); open > 0; {
		msgs, err := s.Receive()
		if err != nil {
			return errors.Join(failed, fmt.Errorf("read netlink acknowledgements (%s …): %w", b.steps[0].what, err))
		}
		for _, m := range msgs {
			i := slices.IndexFunc(b.steps, func(st step) bool { return st.seq == m.Header.Seq })
			if i < 0 || m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
				continue // left over from a dump that was given up
			}
			open--
			errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			if errno != 0 && !slices.Contains(b.steps[i].ignore, errno) && !slices.Contains(b.steps[i].ignore, Anything) {
				var why error = errno
				if b.steps[i].explain != nil {
					why = b.steps[i].explain(errno)
				}
				failed = errors.Join(failed, fmt.Errorf("%s: %w", b.steps[i].what, why))
			}
		}
	}
	return failed
}

// makeRoom lets the socket hold a large batch and its acknowledgements, which the kernel counts with a kilobyte each
// and would drop. Without the right to it the defaults remain, which do for some two hundred steps. The socket gets no
// less than those: the next batch may have fewer steps, and longer ones.
func (b *Batch) makeRoom(s *wire.Socket) {
	const plenty, least = 100, 256 << 10
	if len(b.steps) > plenty {
		_ = unix.SetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, max(2*len(b.buf), least))
		_ = unix.SetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, max(1024*len(b.steps), least))
	}
}

// U32 is an attribute in the machine's byte order.
func U32(typ int, v uint32) *nl.RtAttr {
	return nl.NewRtAttr(typ, binary.NativeEndian.AppendUint32(nil, v))
}

// U8 is an attribute of one byte.
func U8(typ int, v byte) *nl.RtAttr { return nl.NewRtAttr(typ, []byte{v}) }

// Text is an attribute that ends with a zero.
func Text(typ int, v string) *nl.RtAttr { return nl.NewRtAttr(typ, nl.ZeroTerminated(v)) }

// Bytes is an attribute as it is given.
func Bytes(typ int, v []byte) *nl.RtAttr { return nl.NewRtAttr(typ, v) }

// Nest is an attribute of attributes.
func Nest(typ int, children ...nl.NetlinkRequestData) *nl.RtAttr {
	a := nl.NewRtAttr(typ, nil)
	for _, c := range children {
		a.AddChild(c)
	}
	return a
}

// LinkMessage is a request about a link: by index, or by name if that is the first attribute.
func LinkMessage(typ, flags int, index int, up bool, attrs ...nl.NetlinkRequestData) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(typ, flags)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	if up {
		m.Flags, m.Change = unix.IFF_UP, unix.IFF_UP
	}
	req.AddData(m)
	for _, a := range attrs {
		req.AddData(a)
	}
	return req
}
