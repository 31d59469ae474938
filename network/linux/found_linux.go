package linux

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// There implements network.Dataplane: neither bridges nor routes have a network's name.
func (*Dataplane) There(context.Context, string) (bool, error) { return false, nil }

// Networks implements network.Dataplane.
func (*Dataplane) Networks(context.Context) ([]string, error) { return nil, nil }

// Sever implements network.Dataplane: the host veth without an owner, with neighbours and rules of ebtables.
func (l *Dataplane) Sever(ctx context.Context, o network.Owner, netns string) error {
	return l.deleting(ctx, func() error {
		k, err := l.openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		links, err := k.nl.Links()
		if err != nil {
			return err
		}
		pods, _, err := k.nl.FindPods(slices.DeleteFunc(slices.Clone(links),
			func(l netlink.Link) bool { return !foreignVeth(l) }), []string{netns})
		if err != nil {
			return err
		}
		for _, p := range pods {
			if p.IfName != o.IfName {
				continue
			}
			bridge := ""
			veth := links[slices.IndexFunc(links, func(l netlink.Link) bool { return l.Name == p.HostName })]
			if i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Index == veth.Master }); i >= 0 {
				bridge = links[i].Name
			}
			err = errors.Join(err, k.nl.DeletePod(p.HostName, bridge, addrsOf(p.Addresses)), k.nft.RemoveClassicRules(p.MAC))
		}
		return err
	})
}

// foreignVeth says whether a host veth has the classic plugin's shape of name, no owner, and leads to a pod.
func foreignVeth(l netlink.Link) bool {
	return strings.HasPrefix(l.Name, azure.HostVethPrefix) && l.Alias == "" && l.LeadsAway()
}

// found are the pods of the network that another plugin made, as they show on the host: the classic plugin, whose state
// was lost. Its host veths have our names, and no alias; all else is looked up in the pods.
// Error: ErrLost if there is one of which that cannot be found out.
func (l *Dataplane) found(ctx context.Context, n *view) ([]*network.Endpoint, error) {
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	links, err := nl.Links()
	if err != nil {
		return nil, err
	}
	carrier, ok := n.mode.carrier(n, links)
	if !ok {
		return nil, nil
	}
	links = slices.DeleteFunc(links, func(l netlink.Link) bool {
		return !foreignVeth(l) || l.Master != carrier
	})
	// A veth of ours has no owner for a moment when it has just been made. The state has known its name since before that.
	if n.Current != nil && len(links) > 0 {
		now, cerr := n.Current(ctx)
		if cerr != nil {
			return nil, cerr
		}
		links = slices.DeleteFunc(links, func(l netlink.Link) bool { return now.Knows(l.Name) })
	}
	if len(links) == 0 {
		return nil, nil
	}
	namespaces, err := platform.Namespaces()
	if err != nil {
		return nil, err
	}
	pods, lost, err := nl.FindPods(links, namespaces)
	if err != nil {
		return nil, err
	}
	if len(lost) > 0 {
		return nil, fmt.Errorf("%w: %s", network.ErrLost, strings.Join(lost, ", "))
	}
	var list []*network.Endpoint
	for _, p := range pods {
		if !n.mode.has(n, p.Addresses) {
			continue // another network's
		}
		list = append(list, &network.Endpoint{
			Owner: network.Owner{Network: n.Name, ContainerID: platform.NamelessPrefix + p.HostName, IfName: p.IfName},
			State: network.Ready, NetNS: p.NetNS, HostIfName: p.HostName,
			MAC: p.MAC.String(), Addresses: p.Addresses, Created: n.Created, Rebuilt: true,
		})
	}
	return list, nil
}
