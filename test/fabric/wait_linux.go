package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// patience ends waiting for the kernel where only a defect can be the reason.
const patience = 10 * time.Second

// waitUp waits until a link that has been set up can send. The kernel learns
// of a carrier (here: that the other end of a veth pair is up, too) in a work
// queue, and until then drops what it is to send. Since Linux 6.8 asking for
// the link makes it catch up, so that the first look is the last one.
func waitUp(byName func(string) (netlink.Link, error), name string) error {
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		link, err := byName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not come up: %v", name, link.Attrs().OperState)
		}
	}
}

type routeGetter func(net.IP, *netlink.RouteGetOptions) ([]netlink.Route, error)

// waitLocal waits until an IPv6 address that has been added to a link is one
// that the kernel accepts packets for. Even without duplicate address
// detection that happens in a work queue.
func waitLocal(get routeGetter, link int, a netip.Addr) error {
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		routes, err := get(a.AsSlice(), &netlink.RouteGetOptions{OifIndex: link})
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("address %v does not become usable: routes %v", a, routes), err)
		}
	}
}
