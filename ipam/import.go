package ipam

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/classic"
	"github.com/Azure/azure-container-networking/platform"
)

// This file reads what others wrote about addresses: the classic plugins' two state files, and the state of
// azure-vnet beside ours. They are read as data; nothing of them is trusted to be complete.

// ImportClassic fills an empty state from the classic plugin's file. Used addresses stay used. Their owners
// are those that owners knows; else newer versions name the container in the record; else nobody is known to
// hold them.
func ImportClassic(raw []byte, s *State, owners map[netip.Addr]Owner, now time.Time) error {
	list, err := classic.Pools(raw)
	if err != nil {
		return err
	}
	seen := map[netip.Addr]bool{}
	for _, pool := range list {
		prefix, err := netip.ParsePrefix(pool.Name)
		if err != nil {
			return fmt.Errorf("pool %q of the classic plugin's state: %w", pool.Name, err)
		}
		p := &Pool{Prefix: prefix.Masked(), Interface: pool.Interface} // the source's next answer brings the MAC
		s.Pools = append(s.Pools, p)
		var listed []netip.Addr
		for _, record := range pool.Addresses {
			a, err := netip.ParseAddr(record.Text)
			if err != nil || a.Is4In6() || !p.Prefix.Contains(a) || seen[a] {
				continue
			}
			seen[a] = true
			listed = append(listed, a)
			owner, known := owners[a]
			if !known {
				owner = Owner{ContainerID: record.ContainerID}
			}
			if known || record.InUse {
				p.reserve(a, owner, now)
				s.bind(owner.Network, p) // its bridge lives on that pool's NIC
			}
		}
		p.Listed = newAddrSet(listed)
	}
	return nil
}

// MergeLate completes the state by what the classic plugin wrote over it: a call of it that was under way when its
// addresses were taken over. What is ours stays as it is. Addresses that the call gave are somebody's; what former has,
// too, the file as it was taken over, was given back since then.
func (s *State) MergeLate(late, former *State, now time.Time) {
	before := map[netip.Addr]Owner{}
	for _, p := range former.Pools {
		for _, r := range p.Reservations {
			before[r.Address] = r.Owner
		}
	}
	held := map[netip.Addr]bool{}
	for a := range s.taken {
		held[a] = true
	}
	for _, theirs := range late.Pools {
		for _, r := range theirs.Reservations {
			owner := r.Owner
			if was, known := before[r.Address]; held[r.Address] || known && was == owner && owner.ContainerID != "" {
				continue
			}
			i := slices.IndexFunc(s.Pools, func(p *Pool) bool { return p.Prefix.Contains(r.Address) })
			if i >= 0 {
				s.Pools[i].reserve(r.Address, owner, now)
				s.bind(owner.Network, s.Pools[i])
			}
		}
	}
}

// attachment is what we read of one of azure-vnet's: a record of its state (docs/network.md).
type attachment struct {
	Owner
	Addresses    []netip.Prefix `json:"addresses"`
	PodNamespace string         `json:"podNamespace"`
	PodName      string         `json:"podName"`
}

// attachments reads those of our azure-vnet's state. What is none has none.
func attachments(raw []byte) (list []attachment) {
	var ours struct {
		Records []json.RawMessage `json:"records"`
		Rows    string            `json:"rows"`
	}
	if json.Unmarshal(raw, &ours) != nil {
		return nil
	}
	for _, record := range ours.Records {
		var e attachment
		if json.Unmarshal(record, &e) == nil {
			list = append(list, e)
		}
	}
	return append(list, attachments2(ours.Rows)...)
}

// AttachmentPods reads which pods azure-vnet's attachments are of, from its state: "namespace/name" by owner.
func AttachmentPods(raw []byte) map[Owner]string {
	pods := map[Owner]string{}
	for _, e := range attachments(raw) {
		if e.PodName != "" {
			pods[e.Owner] = e.PodNamespace + "/" + e.PodName
		}
	}
	return pods
}

// AttachmentOwners reads who has which address from azure-vnet's state: ours, or the classic plugin's. What is
// neither gives nothing.
func AttachmentOwners(raw []byte) map[netip.Addr]Owner {
	owners := map[netip.Addr]Owner{}
	for _, e := range attachments(raw) {
		for _, p := range e.Addresses {
			if p.IsValid() && strings.HasPrefix(e.ContainerID, platform.NamelessPrefix) {
				owners[p.Addr().Unmap()] = Owner{}
			} else if p.IsValid() { // "" decodes, too
				owners[p.Addr().Unmap()] = e.Owner
			}
		}
	}
	networks, err := classic.Networks(raw)
	if err != nil {
		return owners // ours, or nobody's
	}
	for _, n := range networks {
		for _, e := range n.Endpoints {
			for _, p := range e.Addresses {
				if e.ContainerID != "" {
					owners[p.Addr()] = Owner{n.Name, e.ContainerID, e.IfName}
				}
			}
		}
	}
	return owners
}
