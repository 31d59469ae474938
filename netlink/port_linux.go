package netlink

import (
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// canBePort looks, before anything moves, whether something else receives what comes to the master: an interface has
// one receiver (net/core/dev.c, netdev_rx_handler_register).
// Error: ErrNoPort.
func canBePort(master Link, links []Link) error {
	if master.Master != 0 {
		return nil // it is one
	}
	for _, l := range links {
		if l.parent == master.Index && slices.Contains([]string{"macvlan", "macvtap", "ipvlan", "ipvtap"}, l.Kind) {
			return fmt.Errorf("%w: the %s %s is on %s and receives all that comes to it", ErrNoPort, l.Kind, l.Name, master.Name)
		}
	}
	return nil
}

// notAPort says what the kernel's error means where the master was to become a port. A macvlan may be in another
// network namespace, where nobody sees it from here.
func notAPort(errno syscall.Errno) error {
	why := map[syscall.Errno]string{
		unix.EBUSY:      "a macvlan or ipvlan on it, maybe of a container, or another program, receives all that comes to it",
		unix.EOPNOTSUPP: "its kind, or its driver, forbids it",
		unix.EINVAL:     "its kind forbids it",
		unix.ELOOP:      "it is a bridge itself, or leads to one",
	}[errno]
	if why == "" {
		return errno
	}
	return fmt.Errorf("%w: %s: %w", ErrNoPort, why, errno)
}
