package fabric

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Dial connects from inside the namespace. The host of the address is an IP
// address, an IPv6 zone a number: names would be looked up in the namespace of
// the process.
func (n *Namespace) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.socket(address, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens for connections inside the namespace. The host of the address
// is an IP address or empty.
func (n *Namespace) Listen(network, address string) (l net.Listener, err error) {
	err = n.socket(address, func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket listens for packets inside the namespace. The host of the
// address is an IP address or empty.
func (n *Namespace) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = n.socket(address, func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

func (n *Namespace) socket(address string, open func() error) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("in namespace %s: %w", n.name, err)
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return fmt.Errorf("in namespace %s: %w", n.name, err)
		}
	}
	if err := n.Do(open); err != nil {
		return fmt.Errorf("in namespace %s: %w", n.name, err)
	}
	return nil
}
