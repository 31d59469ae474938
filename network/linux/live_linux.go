package linux

import (
	"context"
	"errors"
	"slices"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// livePod is an endpoint whose host veth is there.
type livePod struct {
	endpoint *network.Endpoint
	pod      netlink.Pod
}

// livePods are the pods that may be connected to the network's interface, for a repair.
func livePods(k *kernel, n *view) ([]livePod, error) {
	links, err := k.nl.Links()
	if err != nil {
		return nil, err
	}
	alias := map[string]string{}
	for _, l := range links {
		alias[l.Name] = l.Alias
	}
	var list []livePod
	for e := range n.Attached() {
		mac, err := parseMAC(e.MAC)
		if err != nil {
			return nil, err
		}
		owner, there := alias[e.HostIfName]
		if there && (owner == "" || owner == e.Owner.String()) { // else the pod's next sandbox has the name
			list = append(list, livePod{e,
				netlink.Pod{HostName: e.HostIfName, Alias: e.Owner.String(), MAC: mac, Addresses: e.Addresses,
					HostRoutes: n.other != "" && !n.mode.routes()}})
		}
	}
	return list, nil
}

func podsOf(list []livePod) (pods []netlink.Pod) {
	for _, p := range list {
		pods = append(pods, p.pod)
	}
	return pods
}

// liveElements are the pods' elements. The network may be another than theirs: what counts is whose rules they are.
func liveElements(n *view, list []livePod) (out []nft.Element) {
	for _, p := range list {
		out = append(out, elements(n, p.endpoint, p.pod)...)
	}
	return out
}

// restoreElements adds what is missing of the live pods' elements, where the rules themselves are in place.
func restoreElements(k *kernel, n *view, list []livePod) error {
	have, err := k.nft.Elements(n.scope())
	if err != nil {
		return err
	}
	for _, want := range liveElements(n, list) {
		if !slices.ContainsFunc(have, func(h nft.Element) bool { return same(h, want) }) {
			err = errors.Join(err, k.nft.AddElements(want))
			// The kernel takes an element again and keeps the comment that it had: another owner's, who left it.
			anothers := func(h nft.Element) bool {
				return h.Address == want.Address && (h.Shared || h.Comment != want.Comment)
			}
			if slices.ContainsFunc(have, anothers) {
				err = errors.Join(err, k.nft.TakeElements(want))
			}
		}
	}
	return err
}

// same says whether the kernel has all of an element.
func same(have, want nft.Element) bool {
	return have.Complete && have.Address == want.Address && have.MAC.String() == want.MAC.String() &&
		have.Port == want.Port
}

// portsInPlace says whether every ready endpoint whose host veth is there is connected to the bridge.
func portsInPlace(k *kernel, n *view, b netlink.Bridge) (bool, error) {
	if !slices.ContainsFunc(n.Carried, func(e network.Endpoints) bool { return e.Len() > 0 }) {
		return true, nil
	}
	indexes, err := k.nl.PortIndexes(n.Bridge)
	var names map[string]bool
	for i := range n.Carried {
		for port, index := range n.Carried[i].ReadyPorts() {
			if indexes[index] {
				continue
			}
			if (err != nil || index == 0) && names == nil {
				if names, err = k.nl.Ports(b.Link); err != nil {
					return false, err
				}
			}
			if names[port] {
				continue
			}
			if _, err := k.nl.Link(port); !errors.Is(err, netlink.ErrNotFound) {
				return false, err
			}
		}
	}
	return true, nil
}

// Endpoints rebuilds the network's endpoints from the elements in its rules, which have the owner as their comment, and
// finds those of another plugin.
func (l *Dataplane) Endpoints(ctx context.Context, known *network.Network) ([]*network.Endpoint, error) {
	n := viewOf(known)
	want := n.scope()
	byOwner := map[network.Owner]*network.Endpoint{}
	var list []*network.Endpoint
	found, err := l.strayElements(func(e nft.Element) bool {
		return e.Name == want.Name && e.Routed() == want.Routed() && e.Complete && !e.Shared
	})
	if err != nil {
		return nil, err
	}
	for _, found := range found {
		o, ok := network.ParseOwner(found.Comment)
		if !ok || o.Network != n.Name {
			continue
		}
		e := byOwner[o]
		if e == nil {
			e = &network.Endpoint{Owner: o, State: network.Ready, HostIfName: found.Port, MAC: found.MAC.String(),
				Created: n.Created, Rebuilt: true}
			byOwner[o] = e
			list = append(list, e)
		}
		e.Addresses = append(e.Addresses, n.mode.prefix(n, found.Address))
	}
	others, err := l.found(ctx, n)
	return append(list, others...), err
}
