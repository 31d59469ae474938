package linux

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
)

// policy looks at the host's NICs. Where there is no bridge, b has just the master.
func (n *view) policy(k *kernel, b netlink.Bridge) (netlink.Policy, error) {
	ways, err := k.nl.Ways(b, n.Others)
	n.other = ways.Other.Name
	return netlink.Policy{Ways: ways, Pods: n.Prefixes, Routed: n.mode.routes(), Router6: azure.Router6}, err
}

func ensurePolicy(k *kernel, p netlink.Policy) error {
	err := k.nl.EnsurePolicy(p)
	if errors.Is(err, netlink.ErrRoute) {
		return fmt.Errorf("%w: %w", network.ErrMaster, err)
	}
	return err
}

// checkPolicy is the part of CHECK for a host with several NICs.
func checkPolicy(k *kernel, p netlink.Policy) error {
	in, err := k.nl.PolicyInPlace(p)
	if err == nil && !in {
		err = fmt.Errorf("%w: the policy rules for pods of %s (ip rule) are not in place", network.ErrDifference, p.Own.Name)
	}
	return err
}
