package settings

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
	"golang.org/x/sys/unix"
)

// Host changes settings of the host, and notes in a network's record what they were before.
type Host struct {
	*network.Network
	Changed []string // that were not as they should be, for messages: "net.ipv4.ip_forward was 0"
}

// Set gives a setting of the host a value, and notes what it was.
func (n *Host) Set(value string, path ...string) error {
	was, err := platform.Sysctl(path...)
	if err != nil || was == value {
		return err
	}
	n.Remember(map[string]string{strings.Join(path, "/"): was})
	if err := platform.SetSysctl(value, path...); err != nil {
		return err
	}
	n.Changed = append(n.Changed, strings.Join(path, ".")+" was "+was)
	return nil
}

// Restore gives the host's settings back. One that is gone, with its interface, needs nothing. Forwarding comes
// first, since writing it changes others.
func Restore(before map[string]string) (errs error) {
	for _, forwarding := range []bool{true, false} {
		for path, was := range before {
			if forwarding != (path == "net/ipv4/ip_forward" || path == "net/ipv6/conf/all/forwarding") {
				continue
			}
			name := strings.Split(path, "/")
			if _, err := platform.Sysctl(name...); err == nil {
				errs = errors.Join(errs, platform.SetSysctl(was, name...))
			}
		}
	}
	return errs
}

// Forward switches IP forwarding on: what reaches a pod by the host (a host port, a service) is routed, and
// the answer too.
func (n *Host) Forward() error { return n.setForwarding("ipv4", "net", "ipv4", "ip_forward") }

// setForwarding switches forwarding on for the host, which sets it for every interface, and switches
// all.accept_redirects off; back likewise (net/ipv4/devinet.c, inet_forward_change; net/ipv6/addrconf.c,
// addrconf_fixup_forwarding). So what that overwrites is noted, too.
func (n *Host) setForwarding(family string, path ...string) error {
	if now, err := platform.Sysctl(path...); err != nil || now == "1" {
		return err
	}
	interfaces, err := platform.SysctlNames("net", family, "conf")
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		if on, err := platform.Sysctl("net", family, "conf", i, "forwarding"); err == nil && on == "1" && i != "all" {
			n.Remember(map[string]string{strings.Join([]string{"net", family, "conf", i, "forwarding"}, "/"): on})
		}
	}
	if was, err := platform.Sysctl("net", family, "conf", "all", "accept_redirects"); err == nil && family == "ipv4" {
		n.Remember(map[string]string{"net/ipv4/conf/all/accept_redirects": was})
	}
	return n.Set("1", path...)
}

// unsettable says that a parameter is not there, or not to be written: in a container /proc/sys is often read-only.
func unsettable(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EROFS) }

// BridgedNAT lets what a bridge forwards pass the host's iptables and nftables (br_netfilter): services, host ports,
// network policies and ip-masq-agent see only what passes there. The module is for the host to load.
func (n *Host) BridgedNAT(log *slog.Logger) error {
	var errs error
	for _, name := range BridgedNATs {
		err := n.Set("1", "net", "bridge", name)
		if unsettable(err) {
			if n.MAC == "" && log != nil { // once: the network is made just now
				log.Warn("br_netfilter is not loaded, or cannot be switched on: services, host ports and network policies do not "+
					"see what pods of this network send and get", "network", n.Name, "remedy", "modprobe br_netfilter")
			}
			return nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// BridgedNATs are the settings in net.bridge that have to be 1.
var BridgedNATs = []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"}

// Forward6 switches IPv6 forwarding on if pods have IPv6. A host that forwards does not listen to router
// advertisements any more, unless accept_ra of the interfaces that get them is 2: without that it would lose its
// default route.
func (n *Host) Forward6(hosts ...string) error {
	if !n.HasIPv6() {
		return nil
	}
	for _, host := range hosts {
		if ra, err := platform.Sysctl("net", "ipv6", "conf", host, "accept_ra"); err != nil {
			return err
		} else if ra == "1" {
			if err := n.Set("2", "net", "ipv6", "conf", host, "accept_ra"); err != nil {
				return err
			}
		}
	}
	return n.setForwarding("ipv6", "net", "ipv6", "conf", "all", "forwarding")
}

// ValidMark lets the kernel's check of a packet's way back, where the host has it (rp_filter), see by which NIC that
// is.
func (n *Host) ValidMark(other string) error {
	if other == "" {
		return nil
	}
	var errs error
	for _, name := range []string{other, cmp.Or(n.Bridge, n.Master)} {
		if err := n.Set("1", "net", "ipv4", "conf", name, "src_valid_mark"); !unsettable(err) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}
