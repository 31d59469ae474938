package fabric

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// PingTimeout ends a [Namespace.Ping] whose context has no deadline.
const PingTimeout = 5 * time.Second

// PingOptions are the optional properties of an echo request.
type PingOptions struct {
	Source netip.Addr // the kernel's choice when zero
	TTL    int        // hop limit; the kernel's default when zero
	Size   int        // bytes after the ICMP header, at least 16
	// DontFragment makes a request fail that is larger than the path's MTU.
	DontFragment bool
}

// Reply is an echo reply.
type Reply struct {
	From netip.Addr
	TTL  int // or hop limit, as it arrived
	RTT  time.Duration
}

// Ping sends one ICMP echo request and waits for the reply. An ICMP error that
// comes instead is returned as the kernel's errno: unix.EHOSTUNREACH,
// unix.EMSGSIZE … There is no second try.
func (n *Namespace) Ping(ctx context.Context, dst netip.Addr, o PingOptions) (Reply, error) {
	dst = dst.Unmap()
	var p *pinger
	err := n.Do(func() (err error) {
		p, err = newPinger(dst, o)
		return err
	})
	if err != nil {
		return Reply{}, fmt.Errorf("ping %v from %s: %w", dst, n.name, err)
	}
	defer func() { _ = p.file.Close() }()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, PingTimeout)
		defer cancel()
	}
	// A deadline in the past wakes up whoever reads or writes.
	defer context.AfterFunc(ctx, func() { _ = p.file.SetDeadline(time.Unix(1, 0)) })()
	reply, err := p.exchange()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ctx.Err()
	}
	if err != nil {
		return Reply{}, fmt.Errorf("ping %v from %s: %w", dst, n.name, err)
	}
	return reply, nil
}

// pinger is a raw ICMP socket connected to the destination. Raw, because
// unprivileged ICMP sockets are closed by default in a new namespace.
type pinger struct {
	file    *os.File
	v6      bool
	request []byte
}

func newPinger(dst netip.Addr, o PingOptions) (*pinger, error) {
	p := &pinger{v6: dst.Is6(), request: make([]byte, 8+max(o.Size, 16))}
	// Kernel and other pingers see each other's messages: 16 random bytes
	// and the identifier tell ours. rand.Read does not fail.
	_, _ = rand.Read(p.request[4:24])
	p.request[0] = icmpEchoRequest
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if p.v6 {
		p.request[0] = icmp6EchoRequest
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	} else {
		binary.BigEndian.PutUint16(p.request[2:], checksum(p.request))
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("open raw socket: %w", err)
	}
	p.file = os.NewFile(uintptr(fd), "icmp")
	if err := p.prepare(fd, dst, o); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

func (p *pinger) prepare(fd int, dst netip.Addr, o PingOptions) error {
	level, recvTTL, ttl, discover, do, recvErr := unix.IPPROTO_IP, unix.IP_RECVTTL, unix.IP_TTL,
		unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_RECVERR
	if p.v6 {
		level, recvTTL, ttl, discover, do, recvErr = unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, unix.IPV6_UNICAST_HOPS,
			unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO, unix.IPV6_RECVERR
	}
	err := errors.Join(
		unix.SetsockoptInt(fd, level, recvTTL, 1),
		unix.SetsockoptInt(fd, level, recvErr, 1))
	if o.TTL != 0 {
		err = errors.Join(err, unix.SetsockoptInt(fd, level, ttl, o.TTL))
	}
	if o.DontFragment {
		err = errors.Join(err, unix.SetsockoptInt(fd, level, discover, do))
	}
	if err != nil {
		return fmt.Errorf("set socket options: %w", err)
	}
	if o.Source.IsValid() {
		sa, err := sockaddr(o.Source)
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, sa); err != nil {
			return fmt.Errorf("bind %v: %w", o.Source, err)
		}
	}
	sa, err := sockaddr(dst)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, sa); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// exchange sends the request and reads until its reply is there.
func (p *pinger) exchange() (Reply, error) {
	start := time.Now()
	if _, err := p.file.Write(p.request); err != nil {
		return Reply{}, err
	}
	raw, err := p.file.SyscallConn()
	if err != nil {
		return Reply{}, err
	}
	buf, oob := make([]byte, 60+len(p.request)), make([]byte, 256)
	for {
		var n, oobn int
		var from unix.Sockaddr
		var recvErr error
		err := raw.Read(func(fd uintptr) bool {
			n, oobn, _, from, recvErr = unix.Recvmsg(int(fd), buf, oob, 0)
			return recvErr != unix.EAGAIN
		})
		if err = errors.Join(err, recvErr); err != nil {
			return Reply{}, err
		}
		if p.matches(buf[:n]) {
			return Reply{From: addrOf(from), TTL: ttlOf(oob[:oobn]), RTT: time.Since(start)}, nil
		}
	}
}

// Types of ICMP and ICMPv6 messages (RFC 792, RFC 4443).
const (
	icmpEchoReply    = 0
	icmpEchoRequest  = 8
	icmp6EchoRequest = 128
	icmp6EchoReply   = 129
)

// matches reports whether the packet is the reply to our request.
func (p *pinger) matches(packet []byte) bool {
	reply := byte(icmpEchoReply)
	if p.v6 {
		reply = icmp6EchoReply
	} else if len(packet) > 0 {
		// IPv4 raw sockets deliver the IP header, too.
		packet = packet[min(len(packet), int(packet[0]&15)*4):]
	}
	return len(packet) == len(p.request) && packet[0] == reply && bytes.Equal(packet[4:], p.request[4:])
}

func ttlOf(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TTL
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT
		if (v4 || v6) && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

// sockaddr must be called inside the namespace: a zone is an interface there.
func sockaddr(a netip.Addr) (unix.Sockaddr, error) {
	if a = a.Unmap(); a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Addr: a.As16()}
	if a.Zone() != "" {
		ifi, err := net.InterfaceByName(a.Zone())
		if err != nil {
			return nil, fmt.Errorf("zone of %v: %w", a, err)
		}
		sa.ZoneId = uint32(ifi.Index)
	}
	return sa, nil
}

func addrOf(sa unix.Sockaddr) netip.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}

// checksum is RFC 1071's.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
