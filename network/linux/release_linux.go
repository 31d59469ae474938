package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// HostUses says what of the host uses addresses, each as a person knows it, by address: sockets that are bound to one,
// routes that were told to use one as the source, policy rules for what comes from one. What could be found comes with
// an error, too.
func HostUses(addrs []netip.Addr) (map[netip.Addr][]string, error) {
	uses, err := netlink.SocketsOf(addrs)
	nl, oerr := netlink.Open(nil)
	if oerr != nil {
		return uses, errors.Join(err, oerr)
	}
	defer nl.Close()
	routes, rerr := nl.RoutesFrom(addrs)
	for a, list := range routes {
		for _, r := range list {
			uses[a] = append(uses[a], "route "+r+", which then has another source")
		}
	}
	rules, lerr := nl.RulesFrom(addrs)
	for a, list := range rules {
		for _, r := range list {
			uses[a] = append(uses[a], "policy rule "+r+", which stays: ip rule del "+r)
		}
	}
	return uses, errors.Join(err, rerr, lerr)
}

// ReleaseHostAddresses takes addresses off the host's interfaces. Without promote_secondaries the kernel takes all
// others of a prefix with the one that came first, which need not be the host's own.
func ReleaseHostAddresses(addrs []netip.Addr, interfaces []string) error {
	undo := &network.Undo{}
	err := promoteSecondaries(interfaces, undo)
	if err == nil {
		err = removeAddresses(addrs)
	}
	return undo.Run(context.Background(), err)
}

func removeAddresses(addrs []netip.Addr) error {
	nl, err := netlink.Open(nil)
	if err != nil {
		return err
	}
	defer nl.Close()
	return nl.RemoveAddresses(addrs)
}

func promoteSecondaries(interfaces []string, undo *network.Undo) error {
	for _, i := range interfaces {
		path := []string{"net", "ipv4", "conf", i, "promote_secondaries"}
		was, err := platform.Sysctl(path...)
		if err == nil {
			undo.Push(func(context.Context) error { return platform.SetSysctl(was, path...) })
			err = platform.SetSysctl("1", path...)
		}
		if err != nil {
			return fmt.Errorf("keep the other addresses of %s: %w", i, err)
		}
	}
	return nil
}
