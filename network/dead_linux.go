package network

import (
	"context"
	"errors"
	"os"

	"github.com/Azure/azure-container-networking/netlink"
)

// Gone implements Dataplane.
func (l *Linux) Gone(_ context.Context, e *Endpoint) (bool, error) {
	if e.NetNS == "" { // of one that was rebuilt it is not known
		return false, nil
	}
	if _, err := os.Stat(e.NetNS); !errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	nl, err := netlink.Open()
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
