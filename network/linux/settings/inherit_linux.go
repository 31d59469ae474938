package settings

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/Azure/azure-container-networking/platform"
)

// Inherit gives the bridge, which has nothing of the host's yet, the master's settings: how the host treats what comes
// to it, and what it sends, stays the same. The master keeps them, so that a bridge can be made again, and nothing has
// to come back.
func (n *Host) Inherit() error {
	// The kernel gives no address to an interface without IPv6, and net.ipv6.conf.default may have switched it off.
	if err := n.inheritSysctl("ipv6", "disable_ipv6"); err != nil {
		return err
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		names, err := platform.SysctlNames("net", family, "conf", n.Master)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel, or an MTU, without IPv6
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := n.inheritSysctl(family, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// inheritSysctl takes one setting over.
func (n *Host) inheritSysctl(family, name string) error {
	value, err := platform.Sysctl("net", family, "conf", n.Master, name)
	if err != nil {
		return nil //nolint:nilerr // the kernel has it not, or has no value: stable_secret
	}
	bridge := []string{"net", family, "conf", n.Bridge, name}
	switch name {
	case "forwarding":
		if value != "1" { // the bridge forwards if the host does
			return nil
		}
	case "disable_ipv6":
		if n.HasIPv6() {
			value = "0"
		}
	case "accept_ra":
		if value, err = n.listenAs(value); err != nil {
			return err
		}
	case "stable_secret", "ioam6_id", "ioam6_id_wide": // an interface's own
		return nil
	case "addr_gen_mode":
		if value == "2" { // needs that secret
			return nil
		}
	}
	// A bridge with the namespace's defaults is better than none.
	if err := platform.SetSysctl(value, bridge...); err != nil && !unsettable(err) {
		return fmt.Errorf("give %s the settings of %s: %w", n.Bridge, n.Master, err)
	}
	return nil
}

// listenAs is accept_ra of the bridge: it listens to router advertisements if the master does, by its accept_ra, and
// goes on when somebody switches forwarding on later, kube-proxy or we (2). That it listens is remembered for a bridge
// that is made again: by then the host may forward, and the master with accept_ra=1 does not listen any more. Where a
// program listens in the kernel's stead (0: systemd-networkd, NetworkManager), the routes that it made have no end on
// the bridge.
func (n *Host) listenAs(master string) (string, error) {
	forwards, err := platform.Sysctl("net", "ipv6", "conf", n.Master, "forwarding")
	if err != nil {
		return "", err
	}
	path := "net/ipv6/conf/" + n.Bridge + "/accept_ra"
	if _, listened := n.Sysctls[path]; master == "1" && (forwards != "1" || listened) {
		n.Remember(map[string]string{path: master})
		master = "2"
	}
	return master, nil
}

// FollowIPv6 switches IPv6 on for a bridge that was made while the master had none. Somebody has switched it on there
// meanwhile, as NetworkManager does when it takes an interface over, and the addresses that he gave it could not move.
func (n *Host) FollowIPv6() error {
	if off, err := platform.Sysctl("net", "ipv6", "conf", n.Master, "disable_ipv6"); err != nil || off != "0" {
		return nil //nolint:nilerr // a kernel, or an MTU, without IPv6
	}
	return n.inheritSysctl("ipv6", "disable_ipv6")
}

// GoOnListening makes a bridge of an earlier version, or of the classic plugin, listen as a new one does. Its other
// settings may be somebody's.
func (n *Host) GoOnListening() error {
	master, err := platform.Sysctl("net", "ipv6", "conf", n.Master, "accept_ra")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	value, err := n.listenAs(master)
	if err != nil || value != "2" {
		return err
	}
	err = platform.SetSysctl(value, "net", "ipv6", "conf", n.Bridge, "accept_ra")
	if unsettable(err) {
		return nil
	}
	return err
}
