package platform

import "net/netip"

// Addresses says which addresses the host's adapters have, and which adapter each. What is only good on one link is
// left out, and so is a family for which v4 or v6 is false.
func (h Host) Addresses(v4, v6 bool) (map[netip.Addr]string, error) {
	ifaces, err := h.Interfaces()
	if err != nil {
		return nil, err
	}
	at := map[netip.Addr]string{}
	for _, i := range ifaces {
		for _, p := range i.Prefixes {
			if a := p.Addr(); !a.IsLinkLocalUnicast() && (a.Is4() && v4 || a.Is6() && v6) {
				at[a] = i.Name
			}
		}
	}
	return at, nil
}
