package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Attr is an attribute of a message.
type Attr struct {
	Type  uint16 // with the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER, as the kernel sent it
	Value []byte
}

// Kind is the type without its flags.
func (a Attr) Kind() uint16 { return a.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER) }

// Attrs are the attributes of a message, or those in a nested one.
type Attrs []Attr

// Walk goes through the attributes of a message, or of a nested one, up to what makes no sense, and keeps none of them:
// for answers of the kernel with hundreds of objects.
func Walk(rest []byte) iter.Seq[Attr] {
	return func(yield func(Attr) bool) {
		for {
			a, behind, err := first(rest)
			if err != nil || a.Value == nil || !yield(a) {
				return
			}
			rest = behind
		}
	}
}

// Find is the value of the first attribute of the type among those that Walk goes through; nil if there is none.
func Find(attrs []byte, typ uint16) []byte {
	for a := range Walk(attrs) {
		if a.Kind() == typ {
			return a.Value
		}
	}
	return nil
}

// ParseAttrs reads attributes: length with the four bytes before the value, type, value, up to three bytes of padding.
func ParseAttrs(rest []byte) (Attrs, error) { return appendAttrs(make(Attrs, 0, 8), rest) }

func appendAttrs(list Attrs, rest []byte) (Attrs, error) {
	for {
		a, behind, err := first(rest)
		if err != nil {
			return nil, err
		}
		if a.Value == nil {
			return list, nil
		}
		list, rest = append(list, a), behind
	}
}

// first is the first of the attributes, and what is behind it. Its value is nil where there is none any more.
func first(rest []byte) (a Attr, behind []byte, err error) {
	if len(rest) < unix.SizeofRtAttr {
		return Attr{}, nil, nil
	}
	n := int(binary.NativeEndian.Uint16(rest))
	if n < unix.SizeofRtAttr || n > len(rest) {
		return Attr{}, nil, fmt.Errorf("netlink attribute of %d bytes in %d", n, len(rest))
	}
	end := min((n+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(rest))
	return Attr{binary.NativeEndian.Uint16(rest[2:]), rest[unix.SizeofRtAttr:n]}, rest[end:], nil
}

// Get is the value of the first attribute of the type; nil if there is none.
func (l Attrs) Get(typ uint16) []byte {
	for _, a := range l {
		if a.Kind() == typ {
			return a.Value
		}
	}
	return nil
}

// U32 is a number of 32 bits in the machine's byte order, 0 if it is not there or too short.
func (l Attrs) U32(typ uint16) uint32 { return U32(l.Get(typ)) }

// Addr is an IP address, the invalid one if it is not there.
func (l Attrs) Addr(typ uint16) netip.Addr {
	a, _ := netip.AddrFromSlice(l.Get(typ))
	return a
}

// Text is a string, "" if it is not there.
func (l Attrs) Text(typ uint16) string { return Text(l.Get(typ)) }

// Nested are the attributes in an attribute, nil if it is not there or makes no sense.
func (l Attrs) Nested(typ uint16) Attrs {
	inner, err := ParseAttrs(l.Get(typ))
	if err != nil {
		return nil
	}
	return inner
}

// U32 is the value of an attribute as a number, 0 for one that is too short: a snapshot on disk may be anything.
func U32(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

// Text is the value of an attribute as a string, which ends with a zero byte.
func Text(value []byte) string { return string(bytes.TrimRight(value, "\x00")) }
