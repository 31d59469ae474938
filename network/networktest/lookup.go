package networktest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
)

// What the host shows without a state, and what becomes of pods while they live.

// Owners implements network.Dataplane.
func (p *Process) Owners(_ context.Context, n *network.Network) (owners []network.Owner, err error) {
	err = p.do("Owners", n, nil, func() error {
		owners = p.host.owners(n)
		return nil
	})
	return owners, err
}

// Endpoints implements network.Dataplane.
func (p *Process) Endpoints(_ context.Context, n *network.Network) (list []*network.Endpoint, err error) {
	err = p.do("Endpoints", n, nil, func() error {
		list = p.host.endpoints(n)
		return nil
	})
	return list, err
}

// endpoints are those that the elements of the network's bridge name.
func (h *Host) endpoints(n *network.Network) (list []*network.Endpoint) {
	for _, a := range slices.SortedFunc(maps.Keys(h.elements), netip.Addr.Compare) {
		el := h.elements[a]
		if el.bridge != n.Bridge || el.owner.Network != n.Name {
			continue
		}
		i := slices.IndexFunc(list, func(e *network.Endpoint) bool { return e.Owner == el.owner })
		if i < 0 {
			i = len(list)
			list = append(list, &network.Endpoint{Owner: el.owner, State: network.Ready, HostIfName: el.port, MAC: el.mac,
				Created: n.Created, Rebuilt: true})
		}
		bits := a.BitLen()
		for _, pool := range n.Prefixes {
			if pool.Contains(a) {
				bits = pool.Bits()
			}
		}
		list[i].Addresses = append(list[i].Addresses, netip.PrefixFrom(a, bits))
	}
	return list
}

// Gone implements network.Dataplane.
func (p *Process) Gone(_ context.Context, e *network.Endpoint) (gone bool, err error) {
	err = p.do("Gone", nil, e, func() error {
		_, veth := p.host.veths[e.HostIfName]
		gone = e.NetNS != "" && p.host.pods[e.NetNS] == nil && !veth
		return nil
	})
	return gone, err
}

// Sweep implements network.Dataplane.
func (p *Process) Sweep(ctx context.Context, n *network.Network,
	known func(context.Context) (map[netip.Addr]bool, error)) error {
	has, err := known(ctx)
	if err != nil {
		return err
	}
	return p.do("Sweep", n, nil, func() error {
		maps.DeleteFunc(p.host.neighbours, func(a netip.Addr, bridge string) bool {
			_, element := p.host.elements[a]
			return bridge == n.Bridge && !has[a] && !element
		})
		return nil
	})
}

// Ailing implements network.Dataplane.
func (p *Process) Ailing(_ context.Context, n *network.Network) (wrong []string, err error) {
	err = p.do("Ailing", n, nil, func() error {
		for i := range n.Carried {
			for e := range n.Carried[i].All() {
				if diff := p.host.compare(n, e); diff != nil && p.host.veths[e.HostIfName].bridge != "" {
					wrong = append(wrong, fmt.Sprintf("%s: %v", e.Owner, diff))
				}
			}
		}
		return nil
	})
	return wrong, err
}

// Adopt implements network.Dataplane.
func (p *Process) Adopt(_ context.Context, n *network.Network, e *network.Endpoint) error {
	return p.do("Adopt", n, e, func() error {
		if v := p.host.veths[e.HostIfName]; v.pod.MAC != e.MAC {
			return fmt.Errorf("%w: %s has MAC %s", network.ErrDifference, e.IfName, v.pod.MAC)
		}
		return p.host.announce(n, e)
	})
}

// FollowMTU implements network.Dataplane.
func (p *Process) FollowMTU(_ context.Context, e *network.Endpoint, mtu int) error {
	return p.do("FollowMTU", nil, e, func() error {
		if v, ok := p.host.veths[e.HostIfName]; ok {
			v.pod.MTU = mtu
			p.host.veths[e.HostIfName] = v
		}
		return nil
	})
}

// Named implements network.Dataplane.
func (p *Process) Named(_ context.Context, name string) (o network.Owner, err error) {
	err = p.do("Named", nil, nil, func() error {
		o = p.host.veths[name].pod.Owner
		return nil
	})
	return o, err
}

// Rename implements network.Dataplane.
func (p *Process) Rename(_ context.Context, o network.Owner, from, to string) error {
	return p.do("Rename", nil, nil, func() error {
		v, ok := p.host.veths[from]
		if !ok || v.pod.Owner != o {
			return nil
		}
		delete(p.host.veths, from)
		p.host.veths[to] = v
		for a, el := range p.host.elements {
			if el.owner == o && el.port == from {
				el.port = to
				p.host.elements[a] = el
			}
		}
		return nil
	})
}

// Nothing here was made by another plugin, runs on HNS, or is shown to a person:

// Sever implements network.Dataplane.
func (p *Process) Sever(context.Context, network.Owner, string) error {
	return p.do("Sever", nil, nil)
}

// Remains implements network.Dataplane.
func (p *Process) Remains(context.Context, []*network.Network, bool) ([]string, error) {
	return nil, p.do("Remains", nil, nil)
}

// Examine implements network.Dataplane.
func (*Process) Examine([]*network.Network) []finding.Finding { return nil }

// Share implements network.Dataplane.
func (*Process) Share(context.Context, *network.Network, *network.Endpoint, string) (bool, error) {
	return false, nil
}

// Unshare implements network.Dataplane.
func (*Process) Unshare(context.Context, *network.Network, *network.Endpoint, string) error {
	return nil
}
