package ipam

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/ipam/source"
)

// seeds adds the files of testdata/seeds. They are short: the fuzzer takes for ever to minimise a long one.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "seeds", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

// sensible checks what package source promises of every answer.
func sensible(t *testing.T, subnets []source.Subnet) {
	t.Helper()
	for _, s := range subnets {
		if mac, err := net.ParseMAC(s.MAC); s.MAC != "*" && (err != nil || mac.String() != s.MAC) {
			t.Errorf("MAC %q", s.MAC)
		}
		if s.Prefix != s.Prefix.Masked() {
			t.Errorf("prefix %s", s.Prefix)
		}
		for _, a := range s.Addresses {
			if !s.Prefix.Contains(a) || a == s.Prefix.Addr() || a == s.Prefix.Addr().Next() || a.Is4In6() || a.Zone() != "" {
				t.Errorf("%s of %s is no address for a container", a, s.Prefix)
			}
		}
	}
	var s AddressSpace
	s.Refresh(subnets, hostOf(iface("eth0", classicMAC)))
	exercise(t, &s)
}

// exercise uses a state, whatever it is. A sound one stays sound.
func exercise(t *testing.T, s *AddressSpace) {
	t.Helper()
	for _, ipv6 := range []bool{false, true} {
		o := Owner{"fuzz", "c", "eth0"}
		first, err := s.Allocate(Request{Owner: o, IPv6: ipv6}, testTime)
		if err != nil {
			continue
		}
		if again, err := s.Allocate(Request{Owner: o, IPv6: ipv6}, testTime); err != nil || again != first {
			t.Errorf("%+v, then %+v (%v)", first, again, err)
		}
		if other, err := s.Allocate(Request{Owner: Owner{"fuzz", "d", "eth0"}, IPv6: ipv6}, testTime); err == nil &&
			other.Address == first.Address {
			t.Errorf("%s is given twice", first.Address)
		}
		_, _ = s.Allocate(Request{Owner: Owner{"other", "e", "eth0"}, IPv6: ipv6, Address: first.Address.Next()}, testTime)
		for _, p := range s.Pools {
			_, _, _ = p.Available(), p.Gateway(), p.assigned(first.Address)
		}
	}
	s.Collect("fuzz", func(id, _ string) bool { return id == "d" })
	s.Adopt(map[netip.Addr]Owner{addr("10.240.0.5"): {}}, testTime)
	s.Sweep(nil, nil)
	s.Release(Owner{"fuzz", "d", "eth0"})
	_ = s.hasSuspects(nil)
}

func FuzzParseInterfaces(f *testing.F) {
	seeds(f, "interfaces-*.xml")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if subnets, err := source.ParseXML(bytes.NewReader(raw)); err == nil {
			sensible(t, subnets)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	seeds(f, "interfaces-*.json")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if subnets, err := source.ParseJSON(raw); err == nil {
			sensible(t, subnets)
		}
	})
}

func FuzzState(f *testing.F) {
	var s State
	s.Refresh([]source.Subnet{
		{MAC: "*", Primary: true, Prefix: prefix("10.240.0.0/16"),
			Addresses: []netip.Addr{addr("10.240.0.5"), addr("10.240.0.6"), addr("10.240.0.9")}},
		{MAC: classicMAC, Prefix: prefix("fd00::/64"), Addresses: []netip.Addr{addr("fd00::5")}},
	}, hostOf(iface("eth0", classicMAC)))
	for _, o := range []Owner{{"azure", "a", "eth0"}, {"azure", "b", "eth0"}} {
		if _, err := s.Allocate(Request{Owner: o}, testTime); err != nil {
			f.Fatal(err)
		}
	}
	s.Release(Owner{"azure", "b", "eth0"})
	s.Answer = SourceStatus{Environment: "azure", URL: azure.HostAgentURL, Refreshed: testTime, Attempted: testTime, Failure: "none"}
	known, err := json.Marshal(&s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(known, recordsOf(&s))
	f.Add([]byte(`{"pools":[{},{},{}]}`), recordsOf(twoPools()))
	f.Add([]byte(`{"pools":[{"prefix":"10.240.0.0/16"}]}`),
		`{"address":"10.240.0.5"},{"address":"10.240.0.6","network":"a","created":"9999-12-31T23:59:59Z"},{"address":"10.240.0.5","netnsInode":-1}`)
	f.Add([]byte(`{"pools":[{"prefix":"::/0","mac":"","listed":["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]}]}`), "")
	f.Add([]byte(`{"pools":[null]}`), "")
	f.Add([]byte(`{"pools":[{}],"bindings":{"fuzz":{}}}`), "")
	f.Add([]byte(`{"pools":[{"prefix":"10.0.0.0/8","listed":["10.0.0.9","10.0.0.1-10.0.0.4","10.0.0.3-10.0.0.6"],"released":["10.0.0.2","10.0.0.2","::"]}]}`), "")
	f.Fuzz(func(t *testing.T, raw []byte, records string) {
		var s State
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		var again State
		data, err := json.Marshal(&s)
		if err = errors.Join(err, json.Unmarshal(data, &again)); err != nil || dump(t, &s) != dump(t, &again) {
			t.Errorf("%s is written as %s (%v)", raw, data, err)
		}
		if parse(&s.AddressSpace, records) != nil {
			return
		}
		for _, p := range s.Pools {
			for _, r := range p.Reservations {
				if !r.Address.IsValid() {
					t.Errorf("%+v", r)
				}
			}
		}
		exercise(t, &s.AddressSpace)
		s.Refresh([]source.Subnet{{MAC: "*", Prefix: prefix("10.240.0.0/16"), Addresses: []netip.Addr{addr("10.240.0.5"), addr("10.240.0.6")}}},
			hostOf(iface("eth0", classicMAC)))
		exercise(t, &s.AddressSpace)
		written := recordsOf(&s)
		back := AddressSpace{}
		for range s.Pools {
			back.Pools = append(back.Pools, &Pool{})
		}
		if err := parse(&back, written); err != nil || recordsOf(&back) != written {
			t.Errorf("cannot be read again: %v", err)
		}
		s.Reset()
		if _, err := json.Marshal(&s); err != nil {
			t.Errorf("cannot be written again: %v", err)
		}
	})
}

func FuzzImportClassic(f *testing.F) {
	seeds(f, "classic-ipam-*.json")
	owners := map[netip.Addr]Owner{addr("10.240.0.5"): {"azure", "c", "eth0"}, addr("10.240.0.6"): {"azure", "c", "eth0"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s, again State
		if ImportClassic(raw, &s, owners, testTime) != nil {
			return
		}
		sound(t, &s.AddressSpace)
		if err := ImportClassic(raw, &again, owners, testTime); err != nil || dump(t, &s) != dump(t, &again) {
			t.Errorf("not the same the second time (%v)", err)
		}
		written, err := json.Marshal(&s)
		var back State
		if err = errors.Join(err, json.Unmarshal(written, &back), parse(&back.AddressSpace, recordsOf(&s))); err != nil ||
			dump(t, &s) != dump(t, &back) {
			t.Errorf("it is written as %s %s, and read as %s (%v)", written, recordsOf(&s), dump(t, &back), err)
		}
		exercise(t, &s.AddressSpace)
		sound(t, &s.AddressSpace)
	})
}

func FuzzAttachmentOwners(f *testing.F) {
	seeds(f, "networks-*.json")
	f.Fuzz(func(t *testing.T, raw []byte) {
		for a, o := range AttachmentOwners(raw) {
			if !a.IsValid() || a.Is4In6() {
				t.Errorf("%q of %s", a, o)
			}
		}
	})
}
