package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The loopback interface is in every namespace.
func TestTheKernelAnswers(t *testing.T) {
	t.Parallel()
	s, err := Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	byName := func(name string) []byte {
		return AppendText(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, name)
	}
	for range 2 { // one after the other over one socket
		body, err := s.Get(Request(unix.RTM_GETLINK, 0, byName("lo")), unix.RTM_NEWLINK)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(unix.RTM_NEWLINK, body, nil)
		if err != nil || m.Text(unix.IFLA_IFNAME) != "lo" || m.Index() != 1 || m.U32(unix.IFLA_MTU) == 0 {
			t.Errorf("the loopback interface is %+v, %v", m, err)
		}
		if _, err := s.Get(Request(unix.RTM_GETLINK, 0, byName("no-such-link")), unix.RTM_NEWLINK); !errors.Is(err, unix.ENODEV) {
			t.Errorf("an interface that is not there: %v", err)
		}
		bodies, err := s.Dump(Request(unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg)), unix.RTM_NEWLINK)
		if err != nil || !slices.ContainsFunc(bodies, func(b []byte) bool { return slices.Equal(b[:8], body[:8]) }) {
			t.Errorf("among all %d: %v", len(bodies), err)
		}
	}
}

// What ends an answer, and with what.
func TestAnswers(t *testing.T) {
	t.Parallel()
	request := Request(unix.RTM_GETLINK, unix.NLM_F_DUMP, nil)
	sequence := binary.NativeEndian.Uint32(request[8:])
	message := func(typ, flags uint16, seq uint32, data ...byte) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: typ, Flags: flags, Seq: seq}, Data: data}
	}
	code := func(e syscall.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(-int32(e))) }
	one, last := message(unix.RTM_NEWLINK, 0, sequence, 1), message(unix.NLMSG_DONE, 0, sequence, code(0)...)
	for name, test := range map[string]struct {
		messages []syscall.NetlinkMessage
		bodies   int
		done     bool
		err      error
	}{
		"more is to come": {[]syscall.NetlinkMessage{one, one}, 2, false, nil},
		"all of it":       {[]syscall.NetlinkMessage{one, last}, 1, true, nil},
		"another request's": {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, 0, 1, 9),
			message(unix.NLMSG_ERROR, 0, 1, code(unix.EPERM)...), one, last}, 1, true, nil},
		"of another kind": {[]syscall.NetlinkMessage{message(unix.RTM_NEWADDR, 0, sequence, 9), one, last}, 1, true, nil},
		"it changed meanwhile": {[]syscall.NetlinkMessage{message(unix.RTM_NEWLINK, dumpInterrupted, sequence, 1), last}, 1, true,
			ErrInterrupted},
		"it changed, says the end": {[]syscall.NetlinkMessage{one, message(unix.NLMSG_DONE, dumpInterrupted, sequence, code(0)...)}, 1, true,
			ErrInterrupted},
		"the end is an error": {[]syscall.NetlinkMessage{one, message(unix.NLMSG_DONE, 0, sequence, code(unix.EINVAL)...)}, 1, true,
			unix.EINVAL},
		"it was given up, at the end": {[]syscall.NetlinkMessage{one, message(unix.NLMSG_DONE, 0, sequence, code(unix.EINTR)...)}, 1, true,
			ErrInterrupted},
		"it was given up at once": {[]syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, code(unix.EINTR)...)}, 0, true,
			ErrInterrupted},
		"an error at once": {[]syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, code(unix.ENOENT)...)}, 0, true,
			unix.ENOENT},
		"an acknowledgement in place": {[]syscall.NetlinkMessage{message(unix.NLMSG_ERROR, 0, sequence, code(0)...)}, 0, true, nil},
		"an end that says nothing":    {[]syscall.NetlinkMessage{one, message(unix.NLMSG_DONE, 0, sequence)}, 1, true, nil},
	} {
		r := answersTo(request, unix.RTM_NEWLINK)
		if done, err := r.take(test.messages); done != test.done || !errors.Is(err, test.err) || len(r.bodies) != test.bodies {
			t.Errorf("%s: %v, %v, %d bodies", name, done, err, len(r.bodies))
		}
	}
	single := answersTo(Request(unix.RTM_GETLINK, 0, nil), unix.RTM_NEWLINK)
	if single.sequence = sequence; !single.one {
		t.Error("a request for one object waits for the end of a list")
	}
	if done, err := single.take([]syscall.NetlinkMessage{one}); !done || err != nil {
		t.Errorf("one object: %v, %v", done, err)
	}
}

// A list that changed while it was read is read again, but not for ever; another error counts at once.
func TestADumpIsRepeatedUntilItIsWhole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		errs   []error // of the dumps, the last one of all that follow
		dumps  int
		err    error
		bodies int
	}{
		"whole":                {[]error{nil}, 1, nil, 1},
		"interrupted twice":    {[]error{ErrInterrupted, fmt.Errorf("it is that: %w", ErrInterrupted), nil}, 3, nil, 1},
		"another error":        {[]error{ErrInterrupted, unix.ENOENT}, 2, unix.ENOENT, 1},
		"interrupted for ever": {[]error{ErrInterrupted}, attempts, ErrInterrupted, 0},
	} {
		dumps := 0
		bodies, err := untilWhole(func() ([][]byte, error) {
			err := test.errs[min(dumps, len(test.errs)-1)]
			dumps++
			return make([][]byte, 1), err
		})
		if dumps != test.dumps || !errors.Is(err, test.err) || len(bodies) != test.bodies {
			t.Errorf("%s: %d dumps, %v, %d bodies", name, dumps, err, len(bodies))
		}
	}
}

// What an attribute is written as, it is read as; a value is never longer than what is there.
func TestAttributesThereAndBack(t *testing.T) {
	t.Parallel()
	body := AppendText(AppendU32(AppendAttr(nil, 1|unix.NLA_F_NESTED, AppendU32(nil, 7, 70)), 2, 20), 3, "name")
	attrs, err := ParseAttrs(body)
	if err != nil || attrs.U32(2) != 20 || attrs.Text(3) != "name" || attrs.Nested(1).U32(7) != 70 || len(body)%4 != 0 {
		t.Errorf("%+v, %v", attrs, err)
	}
	if attrs.Get(9) != nil || attrs.U32(9) != 0 || attrs.Text(9) != "" || attrs.Addr(9) != (netip.Addr{}) || attrs.Nested(9).Get(1) != nil {
		t.Error("an attribute that is not there has a value")
	}
	for _, damage := range []int{0, 3, 200} {
		wrong := slices.Clone(body)
		binary.NativeEndian.PutUint16(wrong, uint16(damage))
		if got, err := ParseAttrs(wrong); err == nil {
			t.Errorf("an attribute of %d bytes is %+v", damage, got)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte{16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{20, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 24, 0, 0})
	link := append([]byte{36, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 16)...)
	f.Add(append(slices.Clone(link), 255, 255, 3, 0))
	f.Add(append(slices.Clone(link), 0, 0, 3, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := parse(b)
		if err != nil {
			return
		}
		for _, raw := range messages {
			m, err := Parse(raw.Header.Type, raw.Data, nil)
			if err != nil {
				continue
			}
			size := len(m.Header)
			for _, a := range m.Attrs {
				size += len(a.Value) + unix.SizeofRtAttr
			}
			_, _, _ = m.Family(), m.Index(), m.Prefix() // they do not panic
			if size > len(raw.Data) {
				t.Errorf("%+v is read from %x", m, raw.Data)
			}
		}
	})
}

// On a point-to-point link the kernel tells the peer's address, too: that is nobody's here.
func TestAnAddressIsTheInterfacesOwn(t *testing.T) {
	t.Parallel()
	own, peer := []byte{10, 240, 0, 4}, []byte{10, 240, 0, 9}
	header := []byte{unix.AF_INET, 16, 0, 0, 7, 0, 0, 0}
	for name, body := range map[string][]byte{
		"with a peer":          AppendAttr(AppendAttr(slices.Clone(header), unix.IFA_ADDRESS, peer), unix.IFA_LOCAL, own),
		"without, as IPv6 has": AppendAttr(slices.Clone(header), unix.IFA_ADDRESS, own),
	} {
		m, err := Parse(unix.RTM_NEWADDR, body, nil)
		if want := netip.MustParsePrefix("10.240.0.4/16"); err != nil || m.Prefix() != want {
			t.Errorf("%s: %v, %v", name, m.Prefix(), err)
		}
	}
	if m, err := Parse(unix.RTM_NEWADDR, header, nil); err != nil || m.Prefix().IsValid() {
		t.Errorf("without an address: %v, %v", m.Prefix(), err)
	}
}
