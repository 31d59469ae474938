package networks

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
)

// attachments compares who holds an address with who is connected. The addresses come first: an ADD reserves before it
// connects.
func (e *examination) attachments(ctx context.Context) []finding.Finding {
	if !e.OwnAddresses() {
		return nil
	}
	held := e.Held(ctx)
	s, err := netplugin.OpenStore(e.DataDir, discard)
	if err != nil {
		return nil // the check of the state files says so
	}
	var wrong []finding.Finding
	err = s.View(ctx, func(state *network.State) error {
		others := maps.Clone(held)
		maps.DeleteFunc(others, func(o ipam.Owner, _ []netip.Addr) bool { return state.Networks[o.Network] != nil })
		wrong = append(compare(held, state), e.Unused(others)...)
		return nil
	})
	if err != nil {
		return nil
	}
	return doctor.ReportHolders(held, wrong)
}

func compare(held map[ipam.Owner][]netip.Addr, state *network.State) (wrong []finding.Finding) {
	add := func(o network.Owner, level finding.Level, remedy, format string, args ...any) {
		wrong = append(wrong, finding.Finding{Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy,
			Owner: (*finding.Owner)(&o), Transient: true})
	}
	connected := map[network.Owner]bool{}
	for _, n := range state.Networks {
		for e := range n.Endpoints.All() {
			connected[e.Owner] = true
			for _, a := range e.Addresses {
				// Of what was imported only the address may be known.
				if e.State == network.Ready && !holds(held, e.Owner, a.Addr()) {
					add(e.Owner, finding.Failure, "restart the pod: its address may be given to another one",
						"%s of %s is not reserved", a.Addr(), e.Owner)
				}
			}
		}
	}
	for _, by := range doctor.Owners(held) {
		if o := network.Owner(by); state.Networks[o.Network] != nil && !connected[o] {
			add(o, finding.Warning, "", "%v is reserved for %s, which is not connected", held[by], o)
		}
	}
	return wrong
}

// holds says whether the owner, or somebody of whom only the container is known, has the address.
func holds(held map[ipam.Owner][]netip.Addr, o network.Owner, a netip.Addr) bool {
	for by, list := range held {
		if slices.Contains(list, a) && (by == ipam.Owner(o) || by.Network == "") {
			return true
		}
	}
	return false
}
