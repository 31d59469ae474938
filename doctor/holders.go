package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/network"
)

// attachments compares who holds an address with who is connected. The addresses come first: an ADD reserves before it
// connects.
func (d *Examination) attachments(ctx context.Context) []network.Finding {
	if !d.ipamIsOurs() {
		return nil
	}
	held := map[network.Owner][]netip.Addr{}
	count := 0
	for _, p := range d.viewIPAM(ctx).Pools {
		for _, r := range p.Reservations {
			o := network.Owner(r.Owner())
			held[o] = append(held[o], r.Address)
			count++
		}
	}
	s, err := netplugin.OpenStore(d.DataDir, discard)
	if err != nil {
		return nil // the check of the state files says so
	}
	var wrong []network.Finding
	err = s.View(ctx, func(state *network.State) error {
		wrong = append(compare(held, state), d.others(held, state)...)
		return nil
	})
	if err != nil {
		return nil
	}
	return network.Report("addresses", fmt.Sprintf("%d are reserved, each for a pod that has it", count), wrong)
}

func compare(held map[network.Owner][]netip.Addr, state *network.State) (wrong []network.Finding) {
	add := func(o network.Owner, level network.Level, remedy, format string, args ...any) {
		wrong = append(wrong, network.Finding{Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy, Owner: &o, Passing: true})
	}
	connected := map[network.Owner]bool{}
	for _, n := range state.Networks {
		for e := range n.Endpoints.All() {
			connected[e.Owner] = true
			for _, a := range e.Addresses {
				// Of what was imported only the address may be known.
				if e.State == network.Ready && !holds(held, e.Owner, a.Addr()) {
					add(e.Owner, network.Failure, "restart the pod: its address may be given to another one", "%s of %s is not reserved", a.Addr(), e.Owner)
				}
			}
		}
	}
	for _, o := range network.OwnersOf(held) {
		if state.Networks[o.Network] != nil && !connected[o] {
			add(o, network.Warning, "", "%v is reserved for %s, which is not connected", held[o], o)
		}
	}
	return wrong
}

// others is about containers of other network plugins: nothing tells of them but whether a namespace has the address.
func (d *Examination) others(held map[network.Owner][]netip.Addr, state *network.State) (wrong []network.Finding) {
	inUse, err := ipamplugin.InUse(d.DataDir)
	if err != nil {
		return []network.Finding{{Level: network.Warning, Found: err.Error(), Remedy: ipamplugin.Explain(err).Details}}
	}
	for _, o := range network.OwnersOf(held) {
		if state.Networks[o.Network] != nil {
			continue
		}
		for _, a := range held[o] {
			if _, used := inUse[a]; used {
				continue
			}
			who := o.String()
			if o.Network == "" {
				who = "a container that is not known"
			}
			wrong = append(wrong, network.Finding{Level: network.Warning, Passing: true,
				Found:  fmt.Sprintf("%s is reserved for %s, and no network namespace of this host has it", a, who),
				Remedy: "if the container is gone: " + filepath.Join(cni.ProgramDir(), ipamplugin.Name) + " release" + d.where() + " " + a.String()})
		}
	}
	return wrong
}

// holds says whether the owner, or somebody of whom only the container is known, has the address.
func holds(held map[network.Owner][]netip.Addr, o network.Owner, a netip.Addr) bool {
	for by, list := range held {
		if slices.Contains(list, a) && (by == o || by.Network == "") {
			return true
		}
	}
	return false
}
