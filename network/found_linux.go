package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/platform"
)

// found are the pods of the network that another plugin made, as they show on the host: the classic plugin, whose state was lost. Its host
// veths have our names, and no alias; all else is looked up in the pods.
// Error: ErrLost if there is one of which that cannot be found out.
func (l *Linux) found(n *Network) ([]*Endpoint, error) {
	nl, err := netlink.Open()
	if err != nil {
		return nil, err
	}
	defer nl.Close()
	links, err := nl.Links()
	if err != nil {
		return nil, err
	}
	bridge := 0
	if i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Name == n.Bridge }); n.Bridge != "" && i >= 0 {
		bridge = links[i].Index
	} else if n.Bridge != "" {
		return nil, nil
	}
	links = slices.DeleteFunc(links, func(l netlink.Link) bool {
		return !strings.HasPrefix(l.Name, "azv") || l.Alias != "" || !l.LeadsAway() || l.Master != bridge
	})
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
		return nil, fmt.Errorf("%w: %s", ErrLost, strings.Join(lost, ", "))
	}
	var list []*Endpoint
	for _, p := range pods {
		if n.Bridge == "" && !slices.ContainsFunc(n.Prefixes, func(pool netip.Prefix) bool { return pool.Contains(p.Addresses[0].Addr()) }) {
			continue // of another network's NIC
		}
		list = append(list, &Endpoint{
			Owner: Owner{n.Name, platform.NamelessPrefix + p.HostName, p.IfName}, State: Ready, NetNS: p.NetNS, HostIfName: p.HostName,
			MAC: p.MAC.String(), Addresses: p.Addresses, Created: n.Created, Rebuilt: true,
		})
	}
	return list, nil
}
