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
)

// Remains implements network.Dataplane.
func (l *Dataplane) Remains(ctx context.Context, networks []*network.Network, remove bool) (list []string, err error) {
	err = l.locked(ctx, func() error {
		k, kerr := l.openKernel()
		if kerr != nil {
			return kerr
		}
		defer k.close()
		list, kerr = remains(k, viewsOf(networks), remove)
		return kerr
	})
	return list, err
}

func remains(k *kernel, networks []*view, remove bool) (list []string, err error) {
	links, err := k.nl.Links()
	if err != nil {
		return nil, err
	}
	ours := func(l netlink.Link) bool {
		return slices.ContainsFunc(networks, func(n *view) bool { return n.Bridge == l.Name })
	}
	veths, bridges := classicLinks(links, ours)
	var alive, dead []string
	for _, v := range veths {
		if v.LeadsAway() {
			alive = append(alive, v.Name)
		} else {
			dead = append(dead, v.Name)
			list = append(list, "host veth "+v.Name)
		}
	}
	if len(alive) > 0 {
		return nil, fmt.Errorf("%w by this state, and live: %s. Delete those pods first",
			network.ErrLost, strings.Join(alive, ", "))
	}
	if remove && len(dead) > 0 {
		err = k.nl.DeletePods(dead, "", nil)
	}
	for _, b := range bridges {
		list = append(list, fmt.Sprintf("bridge %s, of which %s gets the configuration back", b[0], b[1]))
		if remove {
			err = errors.Join(err, k.nl.RemoveBridge(b[0], b[1], nil))
		}
	}
	rules, rerr := k.nft.ClassicRules()
	if rerr != nil || rules == 0 {
		return list, errors.Join(err, rerr)
	}
	list = append(list, fmt.Sprintf("%d rules of ebtables that rewrite MACs", rules))
	if remove {
		err = errors.Join(err, k.nft.RemoveClassicRules())
	}
	return list, err
}

// classicLinks are host veths without an owner, and bridges of the classic plugin's names, each with its master, that
// are none of ours.
func classicLinks(links []netlink.Link, ours func(netlink.Link) bool) (veths []netlink.Link, bridges [][2]string) {
	for _, l := range links {
		switch {
		case l.Kind == "veth" && strings.HasPrefix(l.Name, azure.HostVethPrefix) && l.Alias == "":
			veths = append(veths, l)
		case l.Kind == "bridge" && strings.HasPrefix(l.Name, azure.BridgePrefix) && !ours(l):
			i := slices.IndexFunc(links, func(port netlink.Link) bool { return port.Master == l.Index && port.Kind != "veth" })
			if i >= 0 {
				bridges = append(bridges, [2]string{l.Name, links[i].Name})
			}
		}
	}
	return veths, bridges
}
