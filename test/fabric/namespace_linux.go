package fabric

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrClosed is returned by the methods of a closed [Namespace] or [Fabric].
var ErrClosed = errors.New("closed")

// threadNS is the network namespace of the calling thread.
const threadNS = "/proc/thread-self/ns/net"

// Namespace is a network namespace that exists as long as it is open here, or
// something in it runs. Its methods may be called from any goroutine.
type Namespace struct {
	name string

	mu      sync.RWMutex // guards the rest; held for reading while fd is used
	fd      int          // -1 when closed
	spawn   *spawner     // started by the first command
	onClose func()
}

// newNamespace returns an empty namespace with its loopback up, as a container
// runtime makes it. configure, when not nil, runs inside.
func newNamespace(name string, configure func() error) (*Namespace, error) {
	n := &Namespace{name: name, fd: -1}
	err := insideAnother(
		func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			return nil
		},
		func() (err error) {
			if n.fd, err = openUnique(threadNS); err != nil {
				return err
			}
			if err = loopbackUp(); err != nil || configure == nil {
				return err
			}
			return configure()
		})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create namespace %s: %w", name, err), n.Close())
	}
	return n, nil
}

// Open returns a namespace that something else made.
func Open(path string) (*Namespace, error) {
	fd, err := openUnique(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	return &Namespace{name: path, fd: fd}, nil
}

// Name returns the name given at creation, "vm1/web" for a pod of vm1.
func (n *Namespace) Name() string { return n.name }

// Path returns a path by which any process of the machine can open the
// namespace while it is open here. Closed, the path stays invalid: descriptor
// numbers are not used again soon, so a caller with an old path does not find
// itself in some other namespace.
func (n *Namespace) Path() string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.fd)
}

// Do runs fn inside the namespace, in a goroutine locked to a thread for the
// time of the call. Sockets that fn opens stay in the namespace and can be
// used from anywhere. Goroutines that fn starts do not run in the namespace.
func (n *Namespace) Do(fn func() error) error { return insideAnother(n.enter, fn) }

// enter moves the calling thread into the namespace.
func (n *Namespace) enter() error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.fd < 0 {
		return fmt.Errorf("enter namespace %s: %w", n.name, ErrClosed)
	}
	if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", n.name, err)
	}
	return nil
}

// handle returns a netlink handle bound to the namespace.
func (n *Namespace) handle() (h *netlink.Handle, err error) {
	err = n.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// Close kills the processes that [Namespace.Command] started here and lets go
// of the namespace. It is fine to call it twice.
func (n *Namespace) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	if n.spawn != nil {
		n.spawn.stop()
	}
	if n.onClose != nil {
		n.onClose()
	}
	fd := n.fd
	n.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close namespace %s: %w", n.name, err)
	}
	return nil
}

// insideAnother calls fn on a thread that enter has moved into another
// namespace. A thread that cannot be moved back is ended.
func insideAnother(enter, fn func() error) (err error) {
	callOnOwnThread(func(clean *bool) {
		home, e := unix.Open(threadNS, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if e != nil {
			err = fmt.Errorf("open own namespace: %w", e)
			return
		}
		defer func() {
			if e := unix.Setns(home, unix.CLONE_NEWNET); e != nil {
				err = errors.Join(err, fmt.Errorf("return to own namespace: %w", e))
			} else {
				*clean = true
			}
			_ = unix.Close(home)
		}()
		if err = enter(); err == nil {
			err = fn()
		}
	})
	return err
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// Descriptor numbers of namespaces are given in a circle, far from those that
// the runtime uses, which are always the lowest free ones.
const (
	firstUniqueFD = 1024
	lastUniqueFD  = 16 << 10
)

var uniqueFD = struct {
	sync.Mutex
	next int
}{next: firstUniqueFD}

// openUnique opens a namespace under a descriptor number that was not in use
// for a long time.
func openUnique(path string) (int, error) {
	low, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(low) }()
	uniqueFD.Lock()
	defer uniqueFD.Unlock()
	fd, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, uniqueFD.next)
	if err != nil || fd > lastUniqueFD {
		// Past the end of the circle, or past RLIMIT_NOFILE.
		if err == nil {
			_ = unix.Close(fd)
		}
		fd, err = unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, firstUniqueFD)
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate the descriptor of %s: %w", path, err)
	}
	uniqueFD.next = fd + 1
	return fd, nil
}
