package linux

import (
	"context"
	"errors"
	"os"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
)

// Gone implements network.Dataplane.
func (l *Dataplane) Gone(_ context.Context, e *network.Endpoint) (bool, error) {
	if e.NetNS == "" { // of one that was rebuilt it is not known
		return false, nil
	}
	if _, err := os.Stat(e.NetNS); !errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	nl, err := netlink.Open(l.Host.Sockets)
	if err != nil {
		return false, err
	}
	defer nl.Close()
	link, err := nl.Link(e.HostIfName)
	if errors.Is(err, netlink.ErrNotFound) {
		return true, nil
	}
	return err == nil && link.Alias != "" && link.Alias != e.Owner.String(), err
}
