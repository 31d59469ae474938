package linux

import (
	"context"
	"errors"
	"strings"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/netlink/watch"
	"github.com/Azure/azure-container-networking/network"
)

// Watch tells of changes of what a repair looks at, and who made them, if that is known ("" if not); not of changes of
// nftables by a program of the name own.
func Watch(ctx context.Context, own string) (<-chan string, error) { return watch.Changes(ctx, own) }

// Ailing implements network.Dataplane: what CHECK would find on the host's side. Of a network that is not as it should
// be that is all: it is repaired with all its pods.
func (l *Dataplane) Ailing(_ context.Context, known *network.Network) ([]string, error) {
	n := viewOf(known)
	k, err := l.openKernel()
	if err != nil {
		return nil, err
	}
	defer k.close()
	if err := n.mode.check(k, n); errors.Is(err, network.ErrDifference) {
		return []string{strings.TrimPrefix(err.Error(), network.ErrDifference.Error()+": ")}, nil
	} else if err != nil {
		return nil, err
	}
	var list []*network.Endpoint
	var pods []netlink.Pod
	for e := range n.Attached() {
		if _, err := k.nl.Index(e.HostIfName); errors.Is(err, netlink.ErrNotFound) {
			continue // only a new pod helps
		}
		pod, perr := podOf(k.nl, n, e)
		if perr != nil {
			return nil, perr
		}
		pod.NetNS = "" // whose it is
		list, pods = append(list, e), append(pods, pod)
	}
	have, err := k.nft.Elements(n.scope())
	if err != nil {
		return nil, err
	}
	diffs, err := k.nl.CheckHostEnds(pods)
	if err != nil {
		return nil, err
	}
	var found []string
	for i, diff := range diffs {
		if diff == "" {
			if diff, err = checkElements(k, elements(n, list[i], pods[i]), among(have)); err != nil {
				return nil, err
			}
		}
		if diff != "" {
			found = append(found, list[i].Who()+": "+diff)
		}
	}
	return found, nil
}
