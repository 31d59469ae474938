package ipam

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// This file reads what schema 2 wrote. There the reservations were one string,
//
//	10.240.0.5/azure/=wP_uAcD_7gHA…/eth0/tovmo0.1ul9tjd 10.240.0.6/azure/…
//
// with a semicolon between two pools, container IDs in base64 behind "=", time and namespace to the base of 36; and the
// released addresses of a pool another, "10.240.0.5-10.240.0.9 10.240.0.3".

// Migrate decodes a state of an earlier schema.
func Migrate(from int, raw []byte, s *State) error {
	if from != 2 {
		return fmt.Errorf("schema %d was never in use", from)
	}
	type pool struct {
		Pool
		Listed   []string `json:"listed"`
		Released string   `json:"released"`
	}
	var old struct {
		Data struct {
			Pools    []*pool            `json:"pools"`
			Bindings map[string]Binding `json:"bindings"`
			Answer   SourceStatus       `json:"answer"`
		} `json:"data"`
		Rows string `json:"rows"`
	}
	if err := json.Unmarshal(raw, &old); err != nil {
		return err
	}
	s.Bindings, s.Answer = old.Data.Bindings, old.Data.Answer
	rows := strings.Split(old.Rows, ";")
	if len(old.Data.Pools) > 0 && len(rows) != len(old.Data.Pools) {
		return fmt.Errorf("the reservations are not those of %d pools", len(old.Data.Pools))
	}
	for i, p := range old.Data.Pools {
		if p == nil {
			return errors.New("a pool is null")
		}
		listed, err := parseRanges(p.Listed)
		if err != nil {
			return err
		}
		p.Pool.Listed = setOf(listed)
		released, err := parseRanges(strings.Fields(p.Released))
		if err != nil {
			return err
		}
		for _, r := range released { // in their order
			for a := range (addrSet{r}).all {
				p.Pool.Released = append(p.Pool.Released, a)
			}
		}
		for row := range strings.FieldsSeq(rows[i]) {
			r, err := parseRow2(row)
			if err != nil {
				return err
			}
			p.Reservations = append(p.Reservations, r)
		}
		s.Pools = append(s.Pools, &p.Pool)
	}
	return nil
}

func parseRanges(texts []string) (list []addrRange, err error) {
	for _, text := range texts {
		r, err := parseRange(text)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func parseRow2(row string) (r Reservation, err error) {
	fields := strings.Split(row, "/")
	if len(fields) != 5 {
		return r, fmt.Errorf("reservation %q does not have five fields", row)
	}
	if r.Address, err = netip.ParseAddr(fields[0]); err != nil {
		return r, err
	}
	for i, name := range []*string{&r.Network, &r.ContainerID, &r.IfName} {
		if *name, err = url.PathUnescape(fields[1+i]); err != nil {
			return r, err
		}
	}
	if packed, is := strings.CutPrefix(fields[2], "="); is {
		id, err := base64.RawURLEncoding.DecodeString(packed)
		if err != nil {
			return r, err
		}
		r.ContainerID = hex.EncodeToString(id)
	}
	created, namespace, _ := strings.Cut(fields[4], ".")
	if seconds, err := strconv.ParseInt(created, 36, 64); err == nil && seconds > 0 && seconds < 1<<37 {
		r.Created = time.Unix(seconds, 0).UTC()
	}
	r.Namespace, _ = strconv.ParseUint(namespace, 36, 64)
	return r, nil
}

// attachments2 reads azure-vnet's state of schema 2: NETWORK/CONTAINER/INTERFACE/…, and the rest as JSON with single
// quotes.
func attachments2(rows string) (list []attachment) {
	for row := range strings.FieldsSeq(rows) {
		fields := strings.SplitN(row, "/", 7)
		if len(fields) < 7 {
			continue
		}
		var e attachment
		text, err := url.PathUnescape(strings.ReplaceAll(fields[6], "'", `"`))
		if err != nil || json.Unmarshal([]byte(text), &e) != nil {
			continue
		}
		e.Network, _ = url.PathUnescape(fields[0])
		e.ContainerID, _ = url.PathUnescape(fields[1])
		e.IfName, _ = url.PathUnescape(fields[2])
		list = append(list, e)
	}
	return list
}
