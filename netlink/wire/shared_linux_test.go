package wire

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// rig shares sockets. What is open is seen by its descriptor, whose number another test could get meanwhile: these tests
// run one after the other.
type rig struct {
	*testing.T
	*Shared
}

func (r rig) open(protocol int) *Socket {
	r.Helper()
	s, err := r.Open(protocol)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// isOpen says whether the descriptor is still a socket of the protocol's.
func isOpen(s *Socket, protocol int) bool {
	p, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	return err == nil && p == protocol
}

func linkByName(name string) []byte {
	return Request(unix.RTM_GETLINK, 0, AppendText(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, name))
}

// What one asks after the other goes over one socket, whatever the kernel answers.
func TestASocketIsUsedAgain(t *testing.T) {
	r := rig{t, &Shared{}}
	first := r.open(unix.NETLINK_ROUTE)
	if _, err := first.Get(linkByName("no-such-link"), unix.RTM_NEWLINK); !errors.Is(err, unix.ENODEV) {
		t.Fatalf("an interface that is not there: %v", err)
	}
	first.Close()
	second := r.open(unix.NETLINK_ROUTE)
	if second != first {
		t.Error("the kernel's answer, an error, was the last thing that the socket was good for")
	}
	if _, err := second.Get(linkByName("lo"), unix.RTM_NEWLINK); err != nil {
		t.Error(err)
	}
	second.Close()
	if other := r.open(unix.NETLINK_NETFILTER); other == first || !isOpen(other, unix.NETLINK_NETFILTER) {
		t.Error("another protocol has the same socket")
	}
	if r.open(unix.NETLINK_ROUTE) != first {
		t.Error("another protocol took the socket")
	}
}

// Who asks while another does has a socket of its own. Of two that come back one stays.
func TestWhoAsksAtTheSameTimeHasAnotherSocket(t *testing.T) {
	r := rig{t, &Shared{}}
	a, b := r.open(unix.NETLINK_ROUTE), r.open(unix.NETLINK_ROUTE)
	if a == b || a.fd == b.fd {
		t.Fatal("two have one socket")
	}
	a.Close()
	b.Close()
	if !isOpen(a, unix.NETLINK_ROUTE) || isOpen(b, unix.NETLINK_ROUTE) {
		t.Error("the second that came back is kept, too")
	}
	if r.open(unix.NETLINK_ROUTE) != a {
		t.Error("the first that came back is not used again")
	}
}

// An answer that nobody has read would be the next one's.
func TestASocketWithAnAnswerLeftIsNotUsedAgain(t *testing.T) {
	for name, fail := range map[string]func(*Socket) error{
		"nothing came in time": func(s *Socket) error {
			short := unix.Timeval{Usec: 1000}
			if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &short); err != nil {
				return nil
			}
			_, err := s.Receive()
			return err
		},
		"it could not be sent": func(s *Socket) error { return s.Send(make([]byte, 1<<24)) },
		"it makes no sense": func(s *Socket) error {
			_, err := s.parse([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			return err
		},
	} {
		r := rig{t, &Shared{}}
		s := r.open(unix.NETLINK_ROUTE)
		if err := fail(s); err == nil {
			t.Fatalf("%s: no error", name)
		}
		s.Close()
		if isOpen(s, unix.NETLINK_ROUTE) || r.open(unix.NETLINK_ROUTE) == s {
			t.Errorf("%s: the socket is used again", name)
		}
	}
}

// Without a Shared each has a socket of its own, and closes it.
func TestWithoutASharedNothingIsKept(t *testing.T) {
	r := rig{t, nil}
	s := r.open(unix.NETLINK_ROUTE)
	s.Close()
	if isOpen(s, unix.NETLINK_ROUTE) {
		t.Error("the socket is still open")
	}
}

// Any number of goroutines share, and none gets another's answer.
func TestManyShareSockets(t *testing.T) {
	r := rig{t, &Shared{}}
	errs := make(chan error)
	const many = 16
	for range many {
		go func() {
			var err error
			for range 50 {
				s, oerr := r.Open(unix.NETLINK_ROUTE)
				if oerr != nil {
					err = errors.Join(err, oerr)
					continue
				}
				_, gerr := s.Get(linkByName("lo"), unix.RTM_NEWLINK)
				err = errors.Join(err, gerr)
				s.Close()
			}
			errs <- err
		}()
	}
	for range many {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
