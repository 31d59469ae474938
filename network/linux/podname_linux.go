package linux

import (
	"context"
	"errors"
	"slices"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/nft"
)

// Named implements network.Dataplane.
func (l *Dataplane) Named(_ context.Context, name string) (network.Owner, error) {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return network.Owner{}, err
	}
	defer nl.Close()
	link, err := nl.Link(name)
	if errors.Is(err, netlink.ErrNotFound) {
		return network.Owner{}, nil
	}
	o, _ := network.ParseOwner(link.Alias)
	return o, err
}

// Rename implements network.Dataplane. While the veth is down, the rules that know it by its name judge nothing of it.
func (l *Dataplane) Rename(ctx context.Context, o network.Owner, from, to string) error {
	return l.deleting(ctx, func() error { return l.rename(o, from, to) })
}

func (l *Dataplane) rename(o network.Owner, from, to string) error {
	k, err := l.openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	found, err := l.strayElements(func(e nft.Element) bool {
		return e.Comment == o.String() && e.Port == from && !e.Shared
	})
	if err != nil {
		return err
	}
	moved := slices.Clone(found)
	for i := range moved {
		moved[i].Port = to
	}
	pod := netlink.Pod{HostName: from, Alias: o.String(), Addresses: elementAddresses(found)}
	if len(found) > 0 {
		pod.MAC = found[0].MAC
	}
	return k.nl.RenamePod(pod, to, func() error {
		if err := k.nft.DeleteElements(found...); err != nil || len(found) == 0 {
			return err
		}
		return k.nft.AddElements(moved...)
	})
}
