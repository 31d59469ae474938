package ipam

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/store"
)

// Schema is the version of the state's encoding. 1 had the reservations as JSON objects in their pools.
const Schema = 2

// The reservations are the rows of the state (store.Rows), one word each: the address, its owner's network, container
// and interface, and the time in seconds since 1970, to the base of 36; after a dot the inode of the container's
// network namespace, if that is known, to the same base.
//
// 	10.240.0.5/azure/=wP_uAcD_7gHA…/eth0/tovmo0.1ul9tjd 10.240.0.6/azure/…
//
// The pools' reservations follow one another in the order of the pools, with a semicolon between two pools. Names come
// from outside: what has a meaning here or in JSON, or is not printable ASCII, is written as %2F is in a URL. All of an
// ADD that grows with the number of reservations grows with the length of this text, so it is short; "show" is for
// people.

// AppendRows implements store.Rows.
func (s *AddressSpace) AppendRows(pieces []string) []string {
	for i, p := range s.Pools {
		if i > 0 {
			pieces = append(pieces, ";")
		}
		for rest := p.Reservations; len(rest) > 0; {
			if len(rest) < len(p.Reservations) {
				pieces = append(pieces, " ")
			}
			n, piece := s.neighbours(rest)
			pieces, rest = append(pieces, piece), rest[n:]
		}
	}
	return pieces
}

// neighbours is how many of the first reservations stand one after the other in the text that was parsed, and their
// text.
func (s *AddressSpace) neighbours(rs []Reservation) (int, string) {
	if rs[0].at < 0 {
		return 1, rs[0].row
	}
	n, end := 1, rs[0].end()
	for n < len(rs) && rs[n].at == end+1 && s.text[end] == ' ' {
		end = rs[n].end()
		n++
	}
	return n, s.text[rs[0].at:end]
}

// ParseRows implements store.Rows: it gives the pools their reservations.
func (s *AddressSpace) ParseRows(text string) error {
	s.text = text
	from := 0
	for i, p := range s.Pools {
		to := len(text)
		if n := strings.IndexByte(text[from:], ';'); n >= 0 {
			to = from + n
		}
		if last := i == len(s.Pools)-1; last != (to == len(text)) {
			return fmt.Errorf("the reservations are not those of %d pools", len(s.Pools))
		}
		if err := p.parseRows(text[:to], from); err != nil {
			return err
		}
		from = to + 1
	}
	if len(s.Pools) == 0 && text != "" {
		return fmt.Errorf("reservations %q without a pool", text)
	}
	return nil
}

// parseRows reads the rows from there to the end of the text.
func (p *Pool) parseRows(text string, from int) error {
	p.Reservations = nil
	if from == len(text) {
		return nil
	}
	// One look at all is cheaper than one at each.
	slashes := strings.Count(text[from:], "/")
	escaped := strings.IndexByte(text[from:], '%') >= 0
	rows := make([]Reservation, slashes/4, slashes/4+1) // an ADD has room
	at, n := from, 0
	for ; n < len(rows) && at <= len(text); n++ {
		if err := rows[n].parse(text, at, escaped); err != nil {
			return err
		}
		if strings.Count(rows[n].row, "/") != 4 {
			break // though the sum may be right: the next one may have the rest
		}
		at = int(rows[n].end()) + 1
	}
	if slashes != 4*n || at <= len(text) {
		return fmt.Errorf("the reservations of pool %s do not have five fields each", p.Prefix)
	}
	p.Reservations = rows
	return nil
}

// Reservation is one address in use. Owner and time are decoded when somebody asks: each command reads thousands of
// reservations, and needs their addresses and one owner.
type Reservation struct {
	Address netip.Addr
	row     string
	at      int32 // where the row begins in the text that was parsed; -1 for one that is new
	owner   int32 // where the owner begins in the row
}

func newReservation(a netip.Addr, o Owner, created time.Time) Reservation {
	b := append(a.AppendTo(nil), '/')
	r := Reservation{Address: a, at: -1, owner: int32(len(b))}
	b = strconv.AppendInt(append(b, ownerText(o)...), created.Unix(), 36)
	r.row = string(b)
	return r
}

// parse reads the row that begins there. Escaped names must be as newReservation writes them: owners are compared as
// text.
func (r *Reservation) parse(text string, at int, escaped bool) error {
	r.row, r.at = text[at:], int32(at)
	a, slash := parseIPv4(r.row)
	if end := strings.IndexByte(r.row[slash:], ' '); end >= 0 {
		r.row = r.row[:slash+end]
	}
	if !a.IsValid() {
		slash = max(strings.IndexByte(r.row, '/'), 0)
		var err error
		if a, err = netip.ParseAddr(r.row[:slash]); err != nil {
			return fmt.Errorf("reservation %q: %w", r.row, err)
		}
	}
	r.Address, r.owner = a, int32(slash)+1
	if a.Zone() != "" || escaped && !r.heldBy(ownerText(r.Owner())) {
		return fmt.Errorf("reservation %q: not as it is written", r.row)
	}
	return nil
}

// parseIPv4 reads an IPv4 address, as netip writes it, with a slash behind it, and says where that is. It takes a third
// of the time of netip.ParseAddr.
func parseIPv4(row string) (netip.Addr, int) {
	address, at := uint32(0), 0
	for i := range 4 {
		first, value := at, uint32(0)
		for ; at < len(row) && row[at]-'0' <= 9; at++ {
			value = value*10 + uint32(row[at]-'0')
		}
		if at == len(row) || at == first || at > first+3 || value > 255 || row[first] == '0' && at > first+1 || row[at] != ".../"[i] {
			return netip.Addr{}, 0
		}
		address = address<<8 | value
		at++
	}
	var octets [4]byte
	binary.BigEndian.PutUint32(octets[:], address)
	return netip.AddrFrom4(octets), at - 1
}

// Owner is who holds the address.
func (r Reservation) Owner() Owner {
	network, rest, _ := strings.Cut(r.row[r.owner:], "/")
	containerID, rest, _ := strings.Cut(rest, "/")
	ifName, _, _ := strings.Cut(rest, "/")
	return Owner{parseName(network), parseContainerID(containerID), parseName(ifName)}
}

// end is where the row ends in the text that was parsed.
func (r *Reservation) end() int32 { return r.at + int32(len(r.row)) }

// heldBy compares the owner with an ownerText.
func (r Reservation) heldBy(owner string) bool { return strings.HasPrefix(r.row[r.owner:], owner) }

// Unknown says that it is not, or not fully, known who holds the address.
func (r Reservation) Unknown() bool { return r.heldBy("/") }

// Created is when the address was given, to the second; zero if the row does not tell.
func (r Reservation) Created() time.Time {
	text, _, _ := strings.Cut(r.row[strings.LastIndexByte(r.row, '/')+1:], ".")
	seconds, err := strconv.ParseInt(text, 36, 64)
	if t := time.Unix(seconds, 0).UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
		return t
	}
	return time.Time{}
}

// Namespace is the inode of the container's network namespace; 0 if the row does not tell.
func (r Reservation) Namespace() uint64 {
	_, text, _ := strings.Cut(r.row[strings.LastIndexByte(r.row, '/')+1:], ".")
	ino, _ := strconv.ParseUint(text, 36, 64)
	return ino
}

// enter notes the container's namespace; 0 is none that is known.
func (r *Reservation) enter(namespace uint64) {
	if namespace == r.Namespace() || namespace == 0 {
		return
	}
	at := strings.LastIndexByte(r.row, '/')
	text, _, _ := strings.Cut(r.row[at:], ".")
	r.row, r.at = r.row[:at]+text+"."+strconv.FormatUint(namespace, 36), -1
}

// ownerText is the owner as rows have it: "azure/c0ffee…/eth0/".
func ownerText(o Owner) string {
	var b []byte
	b = append(store.AppendWord(b, o.Network), '/')
	b = append(appendContainerID(b, o.ContainerID), '/')
	b = append(store.AppendWord(b, o.IfName), '/')
	return string(b)
}

// Runtimes name containers by the 64 digits of a SHA-256. They are most of the file, so they are written as "=" and the
// 43 characters of base64.
const idBytes = 32

func appendContainerID(b []byte, id string) []byte {
	if raw, err := hex.DecodeString(id); err == nil && len(raw) == idBytes && hex.EncodeToString(raw) == id {
		return base64.RawURLEncoding.AppendEncode(append(b, '='), raw)
	}
	return store.AppendWord(b, id)
}

func parseContainerID(text string) string {
	if packed, ok := strings.CutPrefix(text, "="); ok {
		raw, _ := base64.RawURLEncoding.DecodeString(packed) // as appendContainerID makes it
		return hex.EncodeToString(raw)
	}
	return parseName(text)
}

func parseName(escaped string) string {
	name, err := store.ParseWord(escaped)
	if err != nil {
		return escaped // parseRow has refused it
	}
	return name
}
