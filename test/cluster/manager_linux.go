package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// manager is a program that manages a node's network, as each machine on Azure has one. Its files are those of an image: what the plugins
// need beside them the installer writes.
type manager struct {
	name  string
	files func(fabric.NICConfig) map[string]string
	start func(context.Context, *machine) error
	ready string // a line of the shell that succeeds when the NIC is configured
	back  string // the same after a restart, when the NIC may be a port of the bridge
}

// managed is the node that has NetworkManager, as RHEL has. The other has systemd-networkd, as Ubuntu.
const managed = "node2"

// manager is that of the node.
func (w *worker) manager() manager {
	if w.name == managed {
		return networkManager
	}
	return networkd
}

// manage lets the node's manager configure a NIC that has nothing yet, as at each boot. A veth pair stays up: the fabric's end of one that
// is down forgets for whom it answers neighbour solicitations.
func (w *worker) manage(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("given up after two minutes"))
	defer cancel()
	if _, err := w.run(ctx, "ip", "address", "flush", "dev", "eth0"); err != nil {
		return err
	}
	if !w.vm.Config.PrimaryNIC().Veth {
		if _, err := w.run(ctx, "ip", "link", "set", "eth0", "down"); err != nil { // up, it would get no link-local address again
			return err
		}
	}
	if err := w.startBus(ctx); err != nil {
		return err
	}
	return w.startManager(ctx, w.manager().ready)
}

// startBus starts the bus by which the installer tells the manager that there are new files.
func (m *machine) startBus(ctx context.Context) error {
	if _, err := m.run(ctx, "mkdir", "-p", "/run/dbus"); err != nil {
		return err
	}
	if err := m.start(ctx, "dbus", "dbus-daemon", "--system", "--nofork", "--nopidfile"); err != nil {
		return err
	}
	return until(ctx, "the bus of "+m.name, func(ctx context.Context) error {
		_, err := m.run(ctx, "test", "-S", "/run/dbus/system_bus_socket")
		return err
	})
}

// startManager starts the manager and waits until it is ready.
func (w *worker) startManager(ctx context.Context, ready string) error {
	m := w.manager()
	if err := m.start(ctx, w.machine); err != nil {
		return err
	}
	return until(ctx, m.name+" of "+w.name, func(ctx context.Context) error {
		_, err := w.run(ctx, "sh", "-c", ready)
		return err
	})
}

// remanage restarts the manager as systemd does: it is told to end, and begins anew.
func (w *worker) remanage(ctx context.Context) error {
	if err := w.signal(ctx, "TERM", w.manager().name); err != nil {
		return err
	}
	return w.startManager(ctx, w.manager().back)
}

const networkdConfigured = "find /run/systemd/netif/links -type f -newer /run/systemd-networkd.pid -exec grep ADMIN_STATE=configured {} " +
	"+ | grep -q ."

var networkd = manager{
	name: "systemd-networkd",
	// What netplan makes of cloud-init's configuration matches by MAC, and so a bridge over the NIC, too.
	files: func(nic fabric.NICConfig) map[string]string {
		text := fmt.Sprintf("[Match]\nMACAddress=%s\n\n[Network]\n", nic.MAC)
		for _, a := range nicAddresses(nic) {
			text += fmt.Sprintf("Address=%s\nGateway=%s\n", a.prefix, a.gateway)
		}
		if nic.Prefix6.IsValid() {
			text += "IPv6AcceptRA=no\n"
		} else {
			text += "LinkLocalAddressing=no\n"
		}
		return map[string]string{"/etc/systemd/network/10-netplan-eth0.network": text}
	},
	start: func(ctx context.Context, m *machine) error {
		// What systemd makes for it, which is not root.
		if _, err := m.run(ctx, "sh", "-c",
			"mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp && chown -R systemd-network: "+
				"/run/systemd/netif"); err != nil {
			return err
		}
		return m.start(ctx, "systemd-networkd", "/lib/systemd/systemd-networkd")
	},
	ready: networkdConfigured,
	back:  networkdConfigured,
}

var networkManager = manager{
	name: "NetworkManager",
	files: func(nic fabric.NICConfig) map[string]string {
		profile := "[connection]\nid=eth0\nuuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03\ntype=ethernet\ninterface-name=" + nic.Name + "\n"
		methods := map[bool]string{false: "[ipv4]\nmethod=disabled\n", true: "[ipv6]\nmethod=disabled\n"}
		for _, a := range nicAddresses(nic) {
			family, more := "ipv4", ""
			if a.gateway.Is6() {
				family, more = "ipv6", "addr-gen-mode=eui64\n" // the fabric knows the NIC's link-local address by its MAC
			}
			methods[a.gateway.Is6()] = fmt.Sprintf("[%s]\nmethod=manual\naddress1=%s,%s\n%s", family, a.prefix, a.gateway, more)
		}
		return map[string]string{
			"/etc/NetworkManager/NetworkManager.conf":                  "[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\nauth-polkit=false\nno-auto-default=*\n",
			"/etc/NetworkManager/system-connections/eth0.nmconnection": profile + methods[false] + methods[true],
		}
	},
	start: func(ctx context.Context, m *machine) error {
		// It reads no profile that others may read.
		if _, err := m.run(ctx, "sh", "-c", "chmod 600 /etc/NetworkManager/system-connections/*"); err != nil {
			return err
		}
		return m.start(ctx, "NetworkManager", "NetworkManager", "--debug")
	},
	ready: "nmcli -t -f DEVICE,STATE device | grep '^eth0:connected$'",
	// It begins with the NIC anew, and waits for addresses there which the bridge has.
	back: "nmcli -t -f DEVICE,STATE device | grep -E '^eth0:connect(ed|ing)'",
}

type nicAddress struct {
	prefix  netip.Prefix // the address with its subnet's length
	gateway netip.Addr
}

// nicAddresses are a NIC's own, one of each family that it has.
func nicAddresses(nic fabric.NICConfig) []nicAddress {
	list := []nicAddress{{netip.PrefixFrom(nic.Address, nic.Prefix.Bits()), nic.Gateway()}}
	if nic.Prefix6.IsValid() {
		list = append(list, nicAddress{netip.PrefixFrom(nic.Address6, nic.Prefix6.Bits()), fabric.GatewayLinkLocal})
	}
	return list
}
