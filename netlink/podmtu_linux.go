package netlink

import (
	"errors"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// SetMTU sets the MTU of both ends of a pod's veth. What is gone needs none.
func (h *Handle) SetMTU(p Pod, mtu int) error {
	set := func(h *Handle, name, what string) error {
		b := &rtnl.Batch{}
		b.Add("set MTU of "+what, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, 0, false, rtnl.Text(unix.IFLA_IFNAME, name),
			rtnl.U32(unix.IFLA_MTU, uint32(mtu))), unix.ENODEV)
		return b.Send(h.socket)
	}
	if err := set(h, p.HostName, p.HostName); err != nil || p.NetNS == "" {
		return err
	}
	ns, err := namespace(p.NetNS)
	if errors.Is(err, ErrNetNS) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	inPod, err := openAt(ns)
	if err != nil {
		return err
	}
	defer inPod.Close()
	return set(inPod, p.IfName, p.IfName+" in the pod")
}
