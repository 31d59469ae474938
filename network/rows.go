package network

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-container-networking/store"
)

// Schema is the version of the state's encoding. 1 had the endpoints as JSON objects in their networks.
const Schema = 2

// The endpoints are the rows of the state (store.Rows), one word each behind a checksum: network, container, interface,
// host veth and its index, state, and the rest of the endpoint as JSON with single quotes.
//
// 	crc32=0badcafe azure/4a1f…/eth0/azv0123456789a/17/ready/{'mac':…} azure/…
//
// If the checksum is right the rows are what we wrote, and need not be decoded to be believed. Else each one is.

const sumLength = len("crc32=00000000")

// AppendRows implements store.Rows.
func (s *State) AppendRows(pieces []string) []string {
	first := len(pieces)
	pieces = append(pieces, "")
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		for rest := s.Networks[name].Endpoints.records; len(rest) > 0; {
			n, piece := s.neighbours(rest)
			pieces, rest = append(pieces, " ", piece), rest[n:]
		}
	}
	sum := uint32(0)
	for _, p := range pieces[first+1:] {
		sum = checksum(sum, p)
	}
	pieces[first] = fmt.Sprintf("crc32=%08x", sum)
	return pieces
}

// checksum goes on with a sum. It takes the text in blocks, because all of it as bytes would be a copy, in memory that
// the kernel has to provide first.
func checksum(sum uint32, text string) uint32 {
	block := make([]byte, min(len(text), 4<<10))
	for len(text) > 0 {
		n := copy(block, text)
		sum, text = crc32.Update(sum, crc32.IEEETable, block[:n]), text[n:]
	}
	return sum
}

// neighbours is how many of the first records stand one after the other in the text that was parsed, and their text.
func (s *State) neighbours(list []record) (int, string) {
	if list[0].text == "" {
		return 1, list[0].encode()
	}
	n, end := 1, list[0].at+len(list[0].text)
	for n < len(list) && list[n].text != "" && list[n].at == end+1 {
		end = list[n].at + len(list[n].text)
		n++
	}
	return n, s.text[list[0].at:end]
}

// ParseRows implements store.Rows: it gives the networks their endpoints.
func (s *State) ParseRows(text string) error {
	s.text = text
	if len(text) < sumLength {
		return fmt.Errorf("the endpoints have no checksum")
	}
	ours := text[:sumLength] == fmt.Sprintf("crc32=%08x", checksum(0, text[sumLength:]))
	for _, n := range s.Networks {
		n.Endpoints.records = make([]record, 0, strings.Count(text, " ")+1) // an ADD has room
	}
	for at := sumLength; at < len(text); {
		if text[at] != ' ' {
			return fmt.Errorf("endpoint %.40q: not as it is written", text[at:])
		}
		at++
		row, _, _ := strings.Cut(text[at:], " ")
		r, n, err := s.parseRow(row)
		if err != nil {
			return err
		}
		if !ours {
			if _, err := r.parse(r.network); err != nil {
				return err
			}
			if n.Endpoints.find(r.key) >= 0 {
				return fmt.Errorf("endpoint %s of network %s is there twice", r.key, n.Name)
			}
		}
		r.at = at
		n.Endpoints.records = append(n.Endpoints.records, r)
		at += len(row)
	}
	return nil
}

// parseRow reads the fields before the JSON. Names without an escaped byte, nearly all, are not copied.
func (s *State) parseRow(row string) (record, *Network, error) {
	var ends [6]int // of the fields, where their slashes are
	at := 0
	for i := range ends {
		n := strings.IndexByte(row[at:], '/')
		if n < 0 {
			return record{}, nil, fmt.Errorf("endpoint %.40q does not have seven fields", row)
		}
		ends[i] = at + n
		at = ends[i] + 1
	}
	network, key := row[:ends[0]], row[ends[0]+1:ends[2]]
	r := record{port: row[ends[2]+1 : ends[3]], state: row[ends[4]+1 : ends[5]], text: row, json: row[at:]}
	index, err := strconv.Atoi(row[ends[3]+1 : ends[4]])
	if err != nil {
		return record{}, nil, fmt.Errorf("endpoint %.40q: %w", row, err)
	}
	r.index = index
	if strings.IndexByte(row[:at], '%') >= 0 {
		for _, name := range []*string{&network, &key, &r.port, &r.state} {
			if *name, err = store.ParseWord(*name); err != nil {
				return record{}, nil, fmt.Errorf("endpoint %.40q: %w", row, err)
			}
		}
	}
	r.network, r.key = network, key
	n := s.Networks[network]
	if n == nil {
		return record{}, nil, fmt.Errorf("endpoint %.40q of a network that is not there", row)
	}
	return r, n, nil
}

// details are what the fields of a row do not say: all of the endpoint but what is shadowed here.
type details struct {
	*Endpoint
	Network     string `json:"network,omitempty"`
	ContainerID string `json:"containerID,omitempty"`
	IfName      string `json:"ifName,omitempty"`
	HostIfName  string `json:"hostIfName,omitempty"`
	HostIfIndex int    `json:"hostIfIndex,omitempty"`
	State       string `json:"state,omitempty"`
}

func (r *record) parse(network string) (*Endpoint, error) {
	containerID, ifName, _ := strings.Cut(r.key, "/")
	e := &Endpoint{Owner: Owner{network, containerID, ifName}, HostIfName: r.port, HostIfIndex: r.index, State: r.state}
	if err := store.ParseJSON(r.json, &details{Endpoint: e}); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", r.key, err)
	}
	if _, ok := ParseOwner(e.Owner.String()); !ok {
		return nil, fmt.Errorf("endpoint %s of network %s has no owner", r.key, network)
	}
	return e, nil
}

// decode returns the endpoint. What fails here was written by us with its checksum: a defect.
func (r *record) decode() *Endpoint {
	if r.endpoint == nil {
		e, err := r.parse(r.network)
		if err != nil {
			panic(err.Error())
		}
		r.endpoint = e
	}
	return r.endpoint
}

func (r *record) encode() string {
	e := r.endpoint
	var b []byte
	for _, field := range []string{e.Network, e.ContainerID, e.IfName, e.HostIfName, strconv.Itoa(e.HostIfIndex), e.State} {
		b = append(store.AppendWord(b, field), '/')
	}
	b, err := store.AppendJSON(b, details{Endpoint: e})
	if err != nil {
		panic(fmt.Sprintf("endpoint %s cannot be encoded: %v", e.Owner, err)) // no type in it can fail
	}
	return string(b)
}
