package ipam

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Schema is the version of the state's encoding. 1 had the reservations as JSON objects in their pools.
const Schema = 2

// The reservations are the rows of the state (store.Rows), one word each: the address, its owner's network, container and
// interface, and the time in seconds since 1970, to the base of 36.
//
//	10.240.0.5/azure/=wP_uAcD_7gHA…/eth0/tovmo0 10.240.0.6/azure/…
//
// The pools' reservations follow one another in the order of the pools, with a semicolon between two pools. Names come
// from outside: what has a meaning here or in JSON, or is not printable ASCII, is written as %2F is in a URL. All of an ADD
// that grows with the number of reservations grows with the length of this text, so it is short; "show" is for people.

// AppendRows implements store.Rows.
func (s *AddressSpace) AppendRows(b []byte) []byte {
	for i, p := range s.Pools {
		if i > 0 {
			b = append(b, ';')
		}
		for j := range p.Reservations {
			if j > 0 {
				b = append(b, ' ')
			}
			b = append(b, p.Reservations[j].row...)
		}
	}
	return b
}

// ParseRows implements store.Rows: it gives the pools their reservations.
func (s *AddressSpace) ParseRows(text string) error {
	if sections := strings.Count(text, ";") + 1; sections != max(1, len(s.Pools)) {
		return fmt.Errorf("reservations of %d pools, %d are there", sections, len(s.Pools))
	}
	for _, p := range s.Pools {
		section, rest, _ := strings.Cut(text, ";")
		if err := p.parseRows(section); err != nil {
			return err
		}
		text = rest
	}
	if text != "" {
		return fmt.Errorf("reservations %q without a pool", text)
	}
	return nil
}

func (p *Pool) parseRows(section string) (err error) {
	p.Reservations = nil
	if section == "" {
		return nil
	}
	n := strings.Count(section, " ") + 1
	p.Reservations = make([]Reservation, n, n+1) // an ADD has room
	if strings.Count(section, "/") != 4*n {
		return fmt.Errorf("the reservations of pool %s do not have five fields each", p.Prefix)
	}
	escaped := strings.Contains(section, "%") // rarely: one look at all is cheaper than one at each
	for i := range p.Reservations {
		row, rest := section, ""
		if end := strings.IndexByte(section, ' '); end >= 0 {
			row, rest = section[:end], section[end+1:]
		}
		if p.Reservations[i], err = parseRow(row, escaped); err != nil {
			return err
		}
		section = rest
	}
	return nil
}

// Reservation is one address in use. Owner and time are decoded when somebody asks: each command reads thousands of
// reservations, and needs their addresses and one owner.
type Reservation struct {
	Address netip.Addr
	row     string
	owner   int // where in the row the owner begins
}

func newReservation(a netip.Addr, o Owner, created time.Time) Reservation {
	b := append(a.AppendTo(nil), '/')
	r := Reservation{Address: a, owner: len(b)}
	b = strconv.AppendInt(append(b, ownerText(o)...), created.Unix(), 36)
	r.row = string(b)
	return r
}

// parseRow reads one row. Escaped names must be as newReservation writes them: owners are compared as text.
func parseRow(row string, escaped bool) (Reservation, error) {
	a, at := parseIPv4(row)
	if at < 0 {
		at = strings.IndexByte(row, '/')
		var err error
		if a, err = netip.ParseAddr(row[:max(at, 0)]); err != nil {
			return Reservation{}, fmt.Errorf("reservation %q: %w", row, err)
		}
	}
	r := Reservation{a, row, at + 1}
	if a.Zone() != "" || escaped && !strings.HasPrefix(row[at+1:], ownerText(r.Owner())) {
		return Reservation{}, fmt.Errorf("reservation %q: not as it is written", row)
	}
	return r, nil
}

// parseIPv4 reads what stands before the first slash, and says where that is; -1 if it is no IPv4 address as netip writes
// it. It takes a third of the time of netip.ParseAddr.
func parseIPv4(row string) (netip.Addr, int) {
	var octets [4]byte
	n, value, digits := 0, 0, 0
	for i := range min(len(row), len("255.255.255.255/")) {
		switch c := row[i]; {
		case c >= '0' && c <= '9' && (digits == 0 || value > 0):
			value, digits = value*10+int(c-'0'), digits+1
		case (c == '.' && n < 3 || c == '/' && n == 3) && digits > 0 && value < 256:
			octets[n] = byte(value)
			if n++; c == '/' {
				return netip.AddrFrom4(octets), i
			}
			value, digits = 0, 0
		default:
			return netip.Addr{}, -1
		}
	}
	return netip.Addr{}, -1
}

// Owner is who holds the address.
func (r Reservation) Owner() Owner {
	network, rest, _ := strings.Cut(r.row[r.owner:], "/")
	containerID, rest, _ := strings.Cut(rest, "/")
	ifName, _, _ := strings.Cut(rest, "/")
	return Owner{parseName(network), parseContainerID(containerID), parseName(ifName)}
}

// heldBy compares the owner with an ownerText.
func (r Reservation) heldBy(owner string) bool { return strings.HasPrefix(r.row[r.owner:], owner) }

// Unknown says that it is not, or not fully, known who holds the address.
func (r Reservation) Unknown() bool { return r.heldBy("/") }

// Created is when the address was given, to the second; zero if the row does not tell.
func (r Reservation) Created() time.Time {
	seconds, err := strconv.ParseInt(r.row[strings.LastIndexByte(r.row, '/')+1:], 36, 64)
	if t := time.Unix(seconds, 0).UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
		return t
	}
	return time.Time{}
}

// ownerText is the owner as rows have it: "azure/c0ffee…/eth0/".
func ownerText(o Owner) string {
	var b []byte
	b = append(appendName(b, o.Network), '/')
	b = append(appendContainerID(b, o.ContainerID), '/')
	b = append(appendName(b, o.IfName), '/')
	return string(b)
}

// Runtimes name containers by the 64 digits of a SHA-256. They are most of the file, so they are written as "=" and the 43
// characters of base64.
const idBytes = 32

func appendContainerID(b []byte, id string) []byte {
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == idBytes && hex.EncodeToString(raw) == id {
		return base64.RawURLEncoding.AppendEncode(append(b, '='), raw)
	}
	return appendName(b, id)
}

func parseContainerID(text string) string {
	if packed, ok := strings.CutPrefix(text, "="); ok {
		raw, _ := base64.RawURLEncoding.DecodeString(packed) // as appendContainerID makes it
		return hex.EncodeToString(raw)
	}
	return parseName(text)
}

const upperHex = "0123456789ABCDEF"

// plainByte says that a byte of a name stands for itself.
func plainByte(c byte) bool {
	return c > ' ' && c < 0x7f && c != '/' && c != ';' && c != '=' && c != '%' && c != '"' && c != '\\'
}

func appendName(b []byte, name string) []byte {
	for i := range len(name) {
		if c := name[i]; plainByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

func parseName(escaped string) string {
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return escaped // parseRow has refused it
	}
	return name
}
