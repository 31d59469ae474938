package ipam

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// DefaultQueryURL is where Azure's host agent lists the VM's interfaces (seed document; config.md, Sources).
const DefaultQueryURL = "http://168.63.129.16/machine/plugins?comp=nmagent&type=getinterfaceinfov1"

// Limits of one question to the host agent.
const (
	queryTimeout = 5 * time.Second
	maxAnswer    = 4 << 20 // bytes
)

// HostAgent is the source of addresses in Azure: the host agent's XML.
type HostAgent struct{ URL string }

// Stamp implements Source: only asking can tell.
func (HostAgent) Stamp() string { return "" }

type xmlInterfaces struct {
	Interface []struct {
		MacAddress string `xml:",attr"`
		IsPrimary  bool   `xml:",attr"`
		IPSubnet   []struct {
			Prefix    string `xml:",attr"`
			IPAddress []struct {
				Address   string `xml:",attr"`
				IsPrimary bool   `xml:",attr"`
			}
		}
	}
}

// Subnets asks the host agent. All errors wrap ErrSource and name the cause.
func (h HostAgent) Subnets(ctx context.Context) ([]Subnet, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: host agent %s: %w", ErrSource, h.URL, err)
	}
	// No proxy from the environment and no redirects: the answer decides who gets which address, so it
	// comes from the host or not at all.
	client := &http.Client{
		Transport:     &http.Transport{Proxy: nil, DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: ask the host agent: %w", ErrSource, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: host agent %s answers %s", ErrSource, h.URL, resp.Status)
	}
	body := &io.LimitedReader{R: resp.Body, N: maxAnswer}
	subnets, err := parseInterfaces(body)
	if body.N <= 0 {
		return nil, fmt.Errorf("%w: the answer of host agent %s is larger than %d bytes", ErrSource, h.URL, maxAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the answer of host agent %s: %w", ErrSource, h.URL, err)
	}
	return subnets, nil
}

// parseInterfaces reads the host agent's XML. A value that makes no sense spoils its own subnet or address
// only: the rest of the node keeps working.
func parseInterfaces(r io.Reader) ([]Subnet, error) {
	var doc xmlInterfaces
	if err := xml.NewDecoder(r).Decode(&doc); err != nil {
		return nil, fmt.Errorf("decode XML: %w", err)
	}
	var subnets []Subnet
	for _, i := range doc.Interface {
		for _, s := range i.IPSubnet {
			var addrs []string
			for _, a := range s.IPAddress {
				if !a.IsPrimary {
					addrs = append(addrs, a.Address)
				}
			}
			if sub, ok := newSubnet(i.MacAddress, i.IsPrimary, s.Prefix, addrs); ok {
				subnets = append(subnets, sub)
			}
		}
	}
	return subnets, nil
}

// newSubnet checks what a source says about one subnet. Addresses outside of the prefix, and those that
// every subnet keeps for itself (network, gateway, IPv4 broadcast), are left out.
func newSubnet(mac string, primary bool, prefix string, addrs []string) (Subnet, bool) {
	p, err := netip.ParsePrefix(prefix)
	if err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6() {
		return Subnet{}, false
	}
	m, ok := parseMAC(mac)
	if !ok {
		return Subnet{}, false
	}
	p = p.Masked()
	s := Subnet{MAC: m, Primary: primary, Prefix: p}
	for _, text := range addrs {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4In6() || !p.Contains(a) || a == p.Addr() || a == p.Addr().Next() || isBroadcast(p, a) {
			continue
		}
		s.Addresses = append(s.Addresses, a)
	}
	return s, true
}

func isBroadcast(p netip.Prefix, a netip.Addr) bool {
	return a.Is4() && p.Bits() < 31 && !p.Contains(a.Next())
}

// parseMAC accepts a MAC with ':', '-' or no separators in any case, and "*".
func parseMAC(s string) (string, bool) {
	if s == "*" {
		return s, true
	}
	if len(s) == 12 {
		b := make([]byte, 0, 17)
		for i := 0; i < 12; i += 2 {
			if i > 0 {
				b = append(b, ':')
			}
			b = append(b, s[i], s[i+1])
		}
		s = string(b)
	}
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 {
		return "", false
	}
	return m.String(), true
}
