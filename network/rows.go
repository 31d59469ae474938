package network

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/store"
)

// Schema is the version of the state's encoding. 1 had the endpoints as JSON objects in their networks.
const Schema = 2

// The endpoints are the rows of the state (store.Rows), one word each behind a checksum: network, container, interface, host
// veth, state, and all of the endpoint as JSON with single quotes.
//
//	crc32c=0badcafe azure/4a1f…/eth0/azv0123456789a/ready/{'network':'azure',…} azure/…
//
// If the checksum is right the rows are what we wrote, and need not be decoded to be believed. Else each one is.

const sumLength = len("crc32c=00000000")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

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
		sum = crc32.Update(sum, castagnoli, []byte(p))
	}
	pieces[first] = fmt.Sprintf("crc32c=%08x", sum)
	return pieces
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
	ours := text[:sumLength] == fmt.Sprintf("crc32c=%08x", crc32.Checksum([]byte(text[sumLength:]), castagnoli))
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
			if err := r.verify(n.Name); err != nil {
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

// parseRow reads the fields before the JSON.
func (s *State) parseRow(row string) (record, *Network, error) {
	f := strings.SplitN(row, "/", 6)
	if len(f) != 6 {
		return record{}, nil, fmt.Errorf("endpoint %.40q does not have six fields", row)
	}
	for i := range 5 {
		word, err := store.ParseWord(f[i])
		if err != nil {
			return record{}, nil, fmt.Errorf("endpoint %.40q: %w", row, err)
		}
		f[i] = word
	}
	n := s.Networks[f[0]]
	if n == nil {
		return record{}, nil, fmt.Errorf("endpoint %.40q of a network that is not there", row)
	}
	return record{key: f[1] + "/" + f[2], port: f[3], state: f[4], text: row, json: f[5]}, n, nil
}

// verify decodes a record that somebody else may have written: its JSON has to say what its fields say.
func (r *record) verify(network string) error {
	e := &Endpoint{}
	if err := store.ParseJSON(r.json, e); err != nil {
		return fmt.Errorf("endpoint %s: %w", r.key, err)
	}
	if _, ok := ParseOwner(e.Owner.String()); !ok || e.Network != network || e.key() != r.key || e.HostIfName != r.port || e.State != r.state {
		return fmt.Errorf("endpoint %s of network %s: its record is of another", r.key, network)
	}
	return nil
}

// decode returns the endpoint. What fails here was written by us with its checksum: a defect.
func (r *record) decode() *Endpoint {
	if r.endpoint == nil {
		e := &Endpoint{}
		if err := store.ParseJSON(r.json, e); err != nil {
			panic(fmt.Sprintf("endpoint %s cannot be decoded: %v", r.key, err))
		}
		r.endpoint = e
	}
	return r.endpoint
}

func (r *record) encode() string {
	e := r.endpoint
	var b []byte
	for _, field := range []string{e.Network, e.ContainerID, e.IfName, e.HostIfName, e.State} {
		b = append(store.AppendWord(b, field), '/')
	}
	b, err := store.AppendJSON(b, e)
	if err != nil {
		panic(fmt.Sprintf("endpoint %s cannot be encoded: %v", e.Owner, err)) // no type in it can fail
	}
	return string(b)
}
