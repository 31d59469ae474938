package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sort"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
)

// holders is the check of who holds an address, by what there is of containers alone: a network namespace that has it.
func (d *Examination) holders(ctx context.Context) []finding.Finding {
	if !d.OwnAddresses() {
		return nil
	}
	held := d.Held(ctx)
	return ReportHolders(held, d.Unused(held))
}

// ReportHolders is what the check says.
func ReportHolders(held map[ipam.Owner][]netip.Addr, wrong []finding.Finding) []finding.Finding {
	count := 0
	for _, list := range held {
		count += len(list)
	}
	return finding.Report("addresses", fmt.Sprintf("%d are reserved, each for a pod that has it", count), wrong)
}

// Held are the addresses that are reserved, by who holds them.
func (d *Examination) Held(ctx context.Context) map[ipam.Owner][]netip.Addr {
	held := map[ipam.Owner][]netip.Addr{}
	for _, p := range d.viewIPAM(ctx).Pools {
		for _, r := range p.Reservations {
			held[r.Owner] = append(held[r.Owner], r.Address)
		}
	}
	return held
}

// Owners are the keys of a map, in the order of their names.
func Owners(of map[ipam.Owner][]netip.Addr) []ipam.Owner {
	list := slices.Collect(maps.Keys(of))
	sort.Slice(list, func(i, j int) bool {
		return list[i].String() < list[j].String()
	}) // slices.SortFunc takes 30 KB for this
	return list
}

// Unused is about containers of other network plugins: nothing tells of them but whether a namespace has the address.
func (d *Examination) Unused(held map[ipam.Owner][]netip.Addr) (wrong []finding.Finding) {
	inUse, err := ipamplugin.InUse(d.DataDir)
	if err != nil {
		return []finding.Finding{{Level: finding.Warning, Found: err.Error(), Remedy: ipamplugin.Explain(err).Details}}
	}
	for _, o := range Owners(held) {
		for _, a := range held[o] {
			if _, used := inUse[a]; used {
				continue
			}
			who := o.String()
			if o.Network == "" {
				who = "a container that is not known"
			}
			wrong = append(wrong, finding.Finding{Level: finding.Warning, Transient: true,
				Found: fmt.Sprintf("%s is reserved for %s, and no network namespace of this host has it", a, who),
				Remedy: "if the container is gone: " + filepath.Join(cni.ProgramDir(), ipamplugin.Name) + " release" +
					d.Where() + " " + a.String()})
		}
	}
	return wrong
}
