package netlink

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/Azure/azure-container-networking/platform/plain"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// prepareIPv6 makes the pod's interface ready for IPv6 if it gets an address of that family: runtimes often
// switch IPv6 off in new namespaces. Router advertisements are not accepted: who sends them could redirect all of
// the pod's traffic, and the plugin configures its routes.
func (p Pod) prepareIPv6(ns wire.Namespace) error {
	if !slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() }) {
		return nil
	}
	return ns.Do(func() error {
		for _, s := range []struct{ name, value string }{{"disable_ipv6", "0"}, {"accept_ra", "0"}} {
			if err := setIPv6(p.IfName, s.name, s.value); err != nil {
				return fmt.Errorf("prepare IPv6 in the pod: %w", err)
			}
		}
		return nil
	})
}

// silencePort leaves a bridge's port without IPv6: what a pod says to it directly, an advertisement of a router above
// all, is nothing to the host. A kernel without IPv6 needs nothing; where /proc/sys is read-only, as in containers, the
// rules have to do.
func silencePort(name string) error {
	for _, s := range []struct{ name, value string }{{"accept_ra", "0"}, {"disable_ipv6", "1"}} {
		err := setIPv6(name, s.name, s.value)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("port %s without IPv6: %w", name, err)
		}
	}
	return nil
}

// setIPv6 writes a setting that a new interface has.
func setIPv6(ifName, name, value string) error {
	path := "/proc/sys/net/ipv6/conf/" + ifName + "/" + name
	f, err := plain.Open(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // the kernel has taken it, or has not
	_, err = f.Write([]byte(value))
	return err
}

// silencePorts does so for the host veths of pods that are there.
func silencePorts(pods []Pod) (errs error) {
	for _, p := range pods {
		errs = errors.Join(errs, silencePort(p.HostName))
	}
	return errs
}

// settleTime bounds the wait for what the kernel does within microseconds, unless it is very busy.
const settleTime = 5 * time.Second

// settle waits until the IPv6 addresses of a link can receive. Even without duplicate address detection the kernel
// makes them local in a work queue, and drops what comes before.
func (h *Handle) settle(l Link, addrs []netip.Prefix) error {
	for _, a := range addrs {
		if !a.Addr().Is6() {
			continue
		}
		for end := time.Now().Add(settleTime); ; time.Sleep(100 * time.Microsecond) {
			local, err := h.isLocal(l, a.Addr())
			if local {
				break
			}
			if time.Now().After(end) {
				return errors.Join(fmt.Errorf("%w: address %s does not become usable on %s", ErrSlow, a, l.Name), err)
			}
		}
	}
	return nil
}

// isLocal says whether the kernel takes what is for the address, when it comes to the link.
func (h *Handle) isLocal(l Link, a netip.Addr) (bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(rtnl.Family(a)), Dst_len: uint8(a.BitLen())}})
	req.AddData(rtnl.Bytes(unix.RTA_DST, a.AsSlice()))
	req.AddData(rtnl.U32(unix.RTA_OIF, uint32(l.Index)))
	m, err := rtnl.Get(h.socket, req, unix.RTM_NEWROUTE)
	return err == nil && m.Header[7] == unix.RTN_LOCAL, err // struct rtmsg: rtm_type
}
