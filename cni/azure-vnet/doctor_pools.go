package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
)

// viewIPAM reads the state of azure-vnet-ipam. What cannot be read is empty: the check of the state files says so.
func (d *examination) viewIPAM(ctx context.Context) (state ipam.State) {
	s, err := ipamplugin.OpenStore(d.dataDir, discard)
	if err == nil {
		_ = s.View(ctx, func(have *ipam.State) error {
			state = *have
			return nil
		})
	}
	return state
}

// hostAgent asks the source of addresses whether it is there.
func (d *examination) hostAgent(ctx context.Context) []network.Finding {
	const check = "host-agent"
	if !d.ipamIsOurs() {
		return network.Report(check, "addresses come from "+d.conf.IPAM.Type, nil)
	}
	state := d.viewIPAM(ctx)
	environment, from := d.source(state.Answer)
	var err error
	if environment == "mas" {
		_, err = os.ReadFile(from)
	} else {
		_, err = ipam.HostAgent{URL: from}.Subnets(ctx)
	}
	if err == nil {
		return network.Report(check, from+" answers", nil)
	}
	level, then := network.Failure, "no address is known that could be given"
	if free := slices.ContainsFunc(state.Pools, func(p *ipam.Pool) bool { return p.Available() > 0 }); free {
		level, then = network.Warning, "known addresses serve as long as there are free ones"
	}
	remedy := "see that this VM reaches it: curl -m 5 '" + from + "'; no route, firewall rule or proxy may take it away"
	if environment == "mas" {
		remedy = "make the file, or name it as \"ipam.interfacesFile\""
	}
	return network.Report(check, "", []network.Finding{{Level: level, Found: fmt.Sprintf("%s does not answer (%v): %s", from, err, then), Remedy: remedy}})
}

// pools is the check of the addresses that are left.
func (d *examination) pools(ctx context.Context) []network.Finding {
	const check = "pools"
	if !d.ipamIsOurs() {
		return network.Report(check, "addresses come from "+d.conf.IPAM.Type, nil)
	}
	var well []string
	var wrong []network.Finding
	for _, p := range d.viewIPAM(ctx).Pools {
		text := fmt.Sprintf("pool %s on %s: %d of %d addresses are free", p.Prefix, p.Interface, p.Available(), p.Capacity())
		const low = 10 // percent of the pool
		switch {
		case p.Capacity() == 0: // the host's own subnet, on a NIC without addresses for pods
		case p.Available() == 0:
			wrong = append(wrong, network.Finding{Level: network.Failure, Found: text, Remedy: "assign more addresses to the NIC (docs/ipam.md), or delete pods; azure-vnet-ipam show lists the holders"})
		case p.Available()*100 < p.Capacity()*low:
			wrong = append(wrong, network.Finding{Level: network.Warning, Found: text, Remedy: "assign more addresses to the NIC (docs/ipam.md) before they run out"})
		default:
			well = append(well, text)
		}
	}
	if len(well) == 0 {
		well = []string{"no pool is known yet: the first ADD asks for them"}
	}
	return network.Report(check, strings.Join(well, "; "), wrong)
}

// attachments compares who holds an address with who is connected. The addresses come first: an ADD reserves before it
// connects.
func (d *examination) attachments(ctx context.Context) []network.Finding {
	if !d.ipamIsOurs() {
		return nil
	}
	held := map[network.Owner][]netip.Addr{}
	for _, p := range d.viewIPAM(ctx).Pools {
		for _, r := range p.Reservations {
			o := network.Owner(r.Owner())
			held[o] = append(held[o], r.Address)
		}
	}
	s, err := openStore(d.dataDir, discard)
	if err != nil {
		return nil // the check of the state files says so
	}
	var wrong []network.Finding
	err = s.View(ctx, func(state *network.State) error {
		wrong = compare(held, state)
		return nil
	})
	if err != nil {
		return nil
	}
	return network.Report("addresses", "every pod has its address reserved, and no other is", wrong)
}

func compare(held map[network.Owner][]netip.Addr, state *network.State) (wrong []network.Finding) {
	add := func(o network.Owner, level network.Level, remedy, format string, args ...any) {
		wrong = append(wrong, network.Finding{Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy, Owner: &o, Passing: true})
	}
	byName := func(a, b network.Owner) int { return strings.Compare(a.String(), b.String()) }
	connected := map[network.Owner]bool{}
	for _, n := range state.Networks {
		for e := range n.Endpoints.All() {
			connected[e.Owner] = true
			for _, a := range e.Addresses {
				// Of what was imported only the address may be known.
				if len(held) > 0 && e.State == network.Ready && !holds(held, e.Owner, a.Addr()) {
					add(e.Owner, network.Failure, "restart the pod: its address may be given to another one", "%s of %s is not reserved", a.Addr(), e.Owner)
				}
			}
		}
	}
	for _, o := range slices.SortedFunc(maps.Keys(held), byName) {
		if state.Networks[o.Network] != nil && !connected[o] {
			add(o, network.Warning, "", "%v is reserved for %s, which is not connected", held[o], o)
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
