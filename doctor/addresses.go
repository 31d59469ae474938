package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/finding"
)

// hostAddresses is the check of what the host has of the pods' addresses: cloud-init gives a NIC's secondary addresses
// to the host.
func (d *Examination) hostAddresses(ctx context.Context) []finding.Finding {
	const check = "host-addresses"
	if !d.OwnAddresses() {
		return finding.Report(check, "addresses come from "+d.conf.IPAM.Type, nil)
	}
	found, space, err := d.Strays(ctx)
	if err != nil {
		return nil // the check of the host agent says so
	}
	held := map[string]bool{}
	for _, p := range space.Pools {
		for _, r := range p.Reservations {
			held[r.Address.String()] = true
		}
	}
	var order []string
	at, pods := map[string][]string{}, map[string][]string{} // addresses by interface
	for _, s := range found {
		if s.Own {
			continue
		}
		if at[s.At] == nil {
			order = append(order, s.At)
		}
		at[s.At] = append(at[s.At], s.Address.String())
		if a := s.Address.Addr().String(); held[a] {
			pods[s.At] = append(pods[s.At], a)
		}
	}
	var wrong []finding.Finding
	for _, name := range order {
		text := fmt.Sprintf("%s of the host has %s, which Azure assigned for pods: no pod gets such an address", name,
			strings.Join(at[name], ", "))
		if len(pods[name]) > 0 {
			text += fmt.Sprintf("; the pods that have %s already are cut off from the host",
				strings.Join(slices.Compact(pods[name]), ", "))
		}
		wrong = append(wrong, finding.Finding{Level: finding.Failure, Found: text, Remedy: d.releaseCommand(name)})
	}
	return finding.Report(check, "the host has no address that is for pods", wrong)
}
