package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrInterrupted says that the objects of a dump changed while the kernel listed them: some may be missing.
var ErrInterrupted = errors.New("the list changed while it was read")

const (
	// The kernel fills datagrams of at most 32 KiB in a dump (netlink_recvmsg in net/netlink/af_netlink.c). Large ones
	// make a dump short, and a short one is rarely interrupted.
	bufferSize = 64 << 10

	// timeout, in seconds, ends the wait for an answer that the kernel never gives. It answers from memory, at once.
	timeout = 5

	// attempts bounds how often a dump that was interrupted is repeated.
	attempts = 10

	dumpInterrupted = 0x10 // NLM_F_DUMP_INTR, include/uapi/linux/netlink.h
)

// Socket is a netlink socket, for one goroutine at a time.
type Socket struct {
	fd  int
	buf []byte // of Receive

	failed   bool        // something was not sent or not read: an answer may be left behind
	giveBack func() bool // to the Shared that it is of, which may not want it; nil: of none
}

// Open opens a socket of the protocol (NETLINK_ROUTE, NETLINK_NETFILTER) in the calling thread's network namespace.
func Open(protocol int) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", os.NewSyscallError("socket", err))
	}
	limit := unix.Timeval{Sec: timeout}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open a netlink socket: %w", os.NewSyscallError("setsockopt", err))
	}
	// Acknowledgements without a copy of the request: hundreds of them fit into the receive buffer.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	// Listings of one interface only (Linux 4.20); an older kernel lists all.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &Socket{fd: fd}, nil
}

// Close closes the socket, or gives it back to those who share it.
func (s *Socket) Close() {
	if s.giveBack == nil || !s.giveBack() {
		_ = unix.Close(s.fd)
	}
}

// FD is the socket's file descriptor, for its options.
func (s *Socket) FD() int { return s.fd }

// sequence numbers our requests. It starts above what the library that builds other requests counts from.
var sequence atomic.Uint32

// Request is the message of a request: the type, NLM_F_… flags besides NLM_F_REQUEST, and what follows the message's
// header.
func Request(typ, flags uint16, body []byte) []byte {
	ne := binary.NativeEndian
	b := make([]byte, 0, unix.NLMSG_HDRLEN+len(body)+unix.NLMSG_ALIGNTO)
	b = ne.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = ne.AppendUint16(b, typ)
	b = ne.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = ne.AppendUint32(b, 1<<31|sequence.Add(1))
	b = ne.AppendUint32(b, 0) // the kernel fills in the socket's port
	return append(b, body...)
}

// AppendAttr adds an attribute to the body of a request.
func AppendAttr(body []byte, typ uint16, value []byte) []byte {
	ne := binary.NativeEndian
	body = ne.AppendUint16(body, uint16(unix.SizeofRtAttr+len(value)))
	body = append(ne.AppendUint16(body, typ), value...)
	return append(body, make([]byte, -len(value)&(unix.RTA_ALIGNTO-1))...)
}

// AppendText adds an attribute that is a string.
func AppendText(body []byte, typ uint16, text string) []byte {
	return AppendAttr(body, typ, append([]byte(text), 0))
}

// AppendU32 adds an attribute that is a number.
func AppendU32(body []byte, typ uint16, v uint32) []byte {
	return AppendAttr(body, typ, binary.NativeEndian.AppendUint32(nil, v))
}

// Send hands messages to the kernel.
func (s *Socket) Send(messages []byte) error {
	for {
		err := syscall.Sendto(s.fd, messages, 0, &syscall.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			s.failed = s.failed || err != nil
			return err
		}
	}
}

// Receive reads the messages of one datagram. The next call overwrites them.
func (s *Socket) Receive() ([]syscall.NetlinkMessage, error) {
	if s.buf == nil {
		s.buf = make([]byte, bufferSize)
	}
	n, err := s.receive(s.buf)
	if err != nil {
		return nil, err
	}
	return s.parse(s.buf[:n])
}

func (s *Socket) parse(datagram []byte) ([]syscall.NetlinkMessage, error) {
	messages, err := parse(datagram)
	s.failed = s.failed || err != nil
	return messages, err
}

func parse(datagram []byte) ([]syscall.NetlinkMessage, error) {
	messages, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return nil, fmt.Errorf("netlink answer: %w", err)
	}
	return messages, nil
}

// receive reads one datagram of the kernel's, and says how long it is.
func (s *Socket) receive(buf []byte) (int, error) {
	for {
		n, _, flags, from, err := syscall.Recvmsg(s.fd, buf, nil, 0)
		switch from, ok := from.(*syscall.SockaddrNetlink); {
		case errors.Is(err, unix.EINTR): // the Go runtime sends itself signals
		case err != nil:
			s.failed = true
			return 0, os.NewSyscallError("recvmsg", err)
		case flags&unix.MSG_TRUNC != 0:
			s.failed = true
			return 0, errors.New("netlink answer larger than the buffer")
		case ok && from.Pid == 0: // else it is not from the kernel
			return n, nil
		}
	}
}

// Get sends the request for one object, and returns the body of the answer, a message of the type.
// Error: the kernel's, as an errno.
func (s *Socket) Get(request []byte, answer uint16) ([]byte, error) {
	bodies, err := s.ask(request, answer)
	if err == nil && len(bodies) != 1 {
		err = fmt.Errorf("netlink answers with %d messages of type %d instead of one", len(bodies), answer)
	}
	if err != nil {
		return nil, err
	}
	return bodies[0], nil
}

// Dump sends the request for many objects (NLM_F_DUMP), again if they change meanwhile, and returns the bodies of the
// answers of the type.
// Errors: the kernel's, as an errno; ErrInterrupted.
func (s *Socket) Dump(request []byte, answer uint16) ([][]byte, error) {
	return untilWhole(func() ([][]byte, error) { return s.DumpOnce(request, answer) })
}

// untilWhole repeats a dump that was interrupted.
func untilWhole(dump func() ([][]byte, error)) (bodies [][]byte, err error) {
	for range attempts {
		if bodies, err = dump(); !errors.Is(err, ErrInterrupted) {
			return bodies, err
		}
	}
	return nil, err
}

// DumpOnce is Dump without the repetition. With ErrInterrupted it returns what there was.
func (s *Socket) DumpOnce(request []byte, answer uint16) ([][]byte, error) {
	return s.ask(request, answer)
}

func (s *Socket) ask(request []byte, answer uint16) ([][]byte, error) {
	if err := s.Send(request); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	r := answersTo(request, answer)
	whole := buffers.Get().(*[bufferSize]byte) //nolint:errcheck // it has nothing else
	defer buffers.Put(whole)
	buf := whole[:] // what stays is cloned
	for {
		n, err := s.receive(buf)
		if err != nil {
			return nil, err
		}
		messages, err := s.parse(bytes.Clone(buf[:n]))
		if err != nil {
			return nil, err
		}
		if done, err := r.take(messages); done {
			return r.bodies, err
		}
	}
}

// buffers are for one answer after the other. A command asks some forty times, with one socket after the other: of a
// buffer that it has used before it pays for no page, and what is not needed of it is not cleared.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// answers gathers those to one request.
type answers struct {
	typ         uint16
	sequence    uint32
	one         bool // there is a single one, and no message at the end
	bodies      [][]byte
	interrupted error
}

func answersTo(request []byte, typ uint16) answers {
	dump := binary.NativeEndian.Uint16(request[6:])&unix.NLM_F_DUMP != 0
	return answers{typ: typ, sequence: sequenceOf(request), one: !dump}
}

// take says whether these messages were the last ones, and with which error it ended.
func (r *answers) take(messages []syscall.NetlinkMessage) (done bool, err error) {
	for _, m := range messages {
		if m.Header.Seq != r.sequence {
			continue // left over from a request that was given up
		}
		if m.Header.Flags&dumpInterrupted != 0 {
			r.interrupted = ErrInterrupted
		}
		switch m.Header.Type {
		case r.typ:
			if r.bodies = append(r.bodies, m.Data); r.one {
				return true, nil
			}
		case unix.NLMSG_DONE: // carries the dump's result: 0, or a negative error number (netlink_dump_done)
			if err := r.result(m); err != nil {
				return true, err
			}
			return true, r.interrupted
		case unix.NLMSG_ERROR:
			return true, r.result(m)
		}
	}
	return false, nil
}

// result is what a message at the end says. The kernel may end a changed dump with an error.
func (r *answers) result(m syscall.NetlinkMessage) error {
	err := Errno(m.Data)
	if errors.Is(err, unix.EINTR) && !r.one {
		return ErrInterrupted
	}
	return err
}

// Errno is the result in the body of an acknowledgement, and of the end of a dump: nil, or a syscall.Errno.
func Errno(body []byte) error {
	if code := int32(U32(body)); code < 0 {
		return syscall.Errno(-code)
	}
	return nil
}
