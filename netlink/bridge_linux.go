package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// VirtualMAC is the MAC under which the Azure fabric answers for everything (datapath.md, fabric rule 2).
var VirtualMAC = []byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}

// Bridge is a bridge with its master, as it is.
type Bridge struct {
	Link    Link
	Master  Link
	Primary []netip.Prefix // the host's addresses, which live on the bridge
	Local   []netip.Prefix // the host's addresses on all other interfaces, loopback ones left out
}

// Bridge reads the bridge and its master and says whether everything is as EnsureBridge leaves it.
// Errors: ErrNotFound for the master, ErrExists if the name is that of something else, ErrMasterTaken.
func (h *Handle) Bridge(name, master string) (b Bridge, ok bool, err error) {
	if b.Master, err = h.Link(master); err != nil {
		return b, false, err
	}
	b.Link, err = h.Link(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return b, false, err
	}
	if b.Master.Master != 0 && b.Master.Master != b.Link.Index {
		// The host's configuration is on that other one: without its port the host would be cut off.
		return b, false, fmt.Errorf("%w: %s is a port of %s", ErrMasterTaken, master, h.nameOf(b.Master.Master))
	}
	missing := err != nil
	left, err := h.readAddresses(&b)
	if err != nil || missing {
		return b, false, err
	}
	if b.Link.Kind != "bridge" {
		return b, false, fmt.Errorf("%w: %s is a %s, not a bridge", ErrExists, name, b.Link.Kind)
	}
	ok = b.Master.Master == b.Link.Index && b.Link.Up && b.Master.Up && len(left) == 0 &&
		bytes.Equal(b.Link.MAC, b.Master.MAC) && b.Link.MTU == b.Master.MTU
	return b, ok, nil
}

// readAddresses sorts the host's addresses: it returns those on the master.
func (h *Handle) readAddresses(b *Bridge) (left []netip.Prefix, err error) {
	list, err := h.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, listing{}, everything)
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	of := map[int][]kernelMessage{}
	for _, m := range list {
		at := m.index()
		if at != b.Link.Index && at != b.Master.Index {
			at = 0
		}
		of[at] = append(of[at], m)
	}
	b.Local = slices.DeleteFunc(prefixesOf(of[0]), func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	if b.Link.Index != 0 {
		b.Primary = prefixesOf(of[b.Link.Index])
	}
	return prefixesOf(of[b.Master.Index]), nil
}

// Lost is what goes with a bridge that somebody deletes, and has to come back with it.
type Lost struct {
	Host []byte // what Snapshot gave
	Pods []Pod  // whoever may be connected; host veth, MAC and addresses count
}

// EnsureBridge makes the bridge with the master as its port and moves the host's configuration from the
// master to it, all in one batch: a process that is killed leaves either the old state or the new one. If
// a part fails, everything goes back to the master. A bridge that is not there, or was down, gets what it lost in
// the same batch; what the master has anew goes before it.
// Errors: ErrNotFound for the master, ErrExists, ErrMasterTaken.
func (h *Handle) EnsureBridge(name, master string, lost Lost) (Bridge, error) {
	b, ok, err := h.Bridge(name, master)
	if err != nil || ok {
		return b, err
	}
	conf, err := h.readHostConf(device{b.Master.Index, master})
	if err != nil {
		return b, err
	}
	links, err := h.Links()
	if err != nil {
		return b, err
	}
	created := b.Link.Index == 0
	if created {
		b.Link.Index = freeIndex(links)
	}
	to := device{b.Link.Index, name}
	do := &batch{}
	do.add("create bridge "+name, bridgeMessage(b, name, created))
	do.add("make "+master+" a port of "+name, linkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, true, u32(unix.IFLA_MASTER, uint32(to.index))))
	// With its first port the bridge comes up, but a work queue has to notice before it sends anything; being
	// asked for the link makes the kernel catch up at once (Linux 6.8). Until the next message the host still sends
	// by the master.
	do.add("look at "+name, linkMessage(unix.RTM_GETLINK, 0, to.index, false))
	if created || !b.Link.Up {
		decodeSnapshot(lost.Host).addTo(do, to)
	}
	conf.addTo(do, to)
	conf.remove(do)
	configureMaster(do, b.Master)
	if err := connectPods(do, to, lost.Pods, links); err != nil {
		return b, err
	}
	if err := do.send(h.socket); err != nil {
		return b, errors.Join(fmt.Errorf("move the host's configuration from %s to %s: %w", master, name, err), h.undoMove(conf, to, created))
	}
	b, ok, err = h.Bridge(name, master)
	if err == nil {
		err = h.routeToPods(b.Link, lost.Pods)
	}
	if err == nil && !ok {
		err = fmt.Errorf("bridge %s does not keep its configuration: something else manages %s or %s", name, name, master)
	}
	if err != nil {
		return b, err
	}
	return b, h.settle(b.Link, b.Primary)
}

// nameOf is the name of a link, for messages.
func (h *Handle) nameOf(index int) string {
	l, err := h.link(linkMessage(unix.RTM_GETLINK, 0, index, false, brief()))
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return l.Name
}

func (h *Handle) undoMove(conf hostConf, to device, created bool) error {
	undo := &batch{}
	conf.addTo(undo, conf.dev)
	conf.removeRules(undo, to)
	if created {
		undo.add("delete bridge "+to.name, linkMessage(unix.RTM_DELLINK, 0, to.index, false), unix.ENODEV)
	}
	if err := undo.send(h.socket); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return nil
}

// RemoveBridge gives the host's configuration back to the master and deletes the bridge; one batch. If somebody
// deleted it, the master gets what was on it, by the snapshot.
func (h *Handle) RemoveBridge(name, master string, snapshot []byte) error {
	b, _, err := h.Bridge(name, master)
	if err != nil {
		return err
	}
	conf, lost := decodeSnapshot(snapshot), b.Link.Index == 0
	if lost {
		conf.dev.name = name
		conf.rules, err = h.readRules(name) // they outlive the bridge
	} else {
		conf, err = h.readHostConf(device{b.Link.Index, name})
	}
	if err != nil {
		return err
	}
	do := &batch{}
	conf.addTo(do, device{b.Master.Index, master})
	conf.removeRules(do, conf.dev)
	if !lost {
		do.add("release "+master+" from "+name, linkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, true, u32(unix.IFLA_MASTER, 0)))
		do.add("delete bridge "+name, linkMessage(unix.RTM_DELLINK, 0, b.Link.Index, false))
	}
	if err := do.send(h.socket); err != nil {
		return fmt.Errorf("move the host's configuration from %s to %s: %w", name, master, err)
	}
	addrs, err := h.Addresses(b.Master)
	if err != nil {
		return err
	}
	return h.settle(b.Master, addrs)
}

// bridgeMessage creates the bridge, or corrects one that exists. Its MAC is set explicitly: a bridge
// without a MAC of its own takes the lowest one of its ports, and the host's MAC would change whenever a
// pod starts (net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id).
func bridgeMessage(b Bridge, name string, create bool) *nl.NetlinkRequest {
	flags := 0
	var attrs []nl.NetlinkRequestData
	// Even the same MAC set again makes the kernel forget all neighbours, permanent ones too (neigh_changeaddr).
	if !bytes.Equal(b.Link.MAC, b.Master.MAC) {
		attrs = append(attrs, bytesAttr(unix.IFLA_ADDRESS, b.Master.MAC))
	}
	if b.Link.MTU != b.Master.MTU {
		attrs = append(attrs, u32(unix.IFLA_MTU, uint32(b.Master.MTU)))
	}
	if create {
		flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		attrs = append(attrs, str(unix.IFLA_IFNAME, name), bridgeSettings())
	}
	return linkMessage(unix.RTM_NEWLINK, flags, b.Link.Index, true, attrs...)
}

func bridgeSettings() *nl.RtAttr {
	return nest(unix.IFLA_LINKINFO, bytesAttr(nl.IFLA_INFO_KIND, []byte("bridge")), nest(nl.IFLA_INFO_DATA,
		u32(nl.IFLA_BR_STP_STATE, 0),
		// Without a querier, snooping would stop multicast (neighbour discovery among it).
		u8(nl.IFLA_BR_MCAST_SNOOPING, 0)))
}

// firstIndex is where our own interface indexes start: far above what the kernel counts up to.
const firstIndex = 1 << 20

// freeIndex finds an interface index that nobody uses. We choose it ourselves, since the messages that
// follow in the same batch have to name it.
func freeIndex(links []Link) int {
	index := firstIndex
	for _, l := range links {
		index = max(index, l.Index+1)
	}
	return index
}

// Reconnect makes the pods' host veths ports of a bridge that is there, which gets the settings of one that we made.
func (h *Handle) Reconnect(b Bridge, pods []Pod) error {
	links, err := h.Links()
	if err != nil {
		return err
	}
	do := &batch{}
	do.add("configure bridge "+b.Link.Name, linkMessage(unix.RTM_NEWLINK, 0, b.Link.Index, true, bridgeSettings()))
	configureMaster(do, b.Master)
	if err := connectPods(do, device{b.Link.Index, b.Link.Name}, pods, links); err != nil {
		return err
	}
	if err := do.send(h.socket); err != nil {
		return err
	}
	return h.routeToPods(b.Link, pods)
}

// Ports lists the names of the bridge's ports.
func (h *Handle) Ports(bridge Link) (map[string]bool, error) {
	list, err := h.dump(unix.RTM_GETLINK, unix.RTM_NEWLINK, listing{family: unix.AF_BRIDGE}, func(m kernelMessage) bool { return int(m.u32(unix.IFLA_MASTER)) == bridge.Index })
	if err != nil {
		return nil, fmt.Errorf("list the ports of %s: %w", bridge.Name, err)
	}
	ports := make(map[string]bool, len(list))
	for _, m := range list {
		ports[text(m.get(unix.IFLA_IFNAME))] = true
	}
	return ports, nil
}

// connectPods makes the host veths of pods ports again, with what goes with that: a bridge that was deleted took all
// of it along, and one that was down, or had another MAC, lost its neighbours. A pod that is gone needs nothing.
func connectPods(b *batch, bridge device, pods []Pod, links []Link) error {
	index := map[string]int{}
	for _, l := range links {
		index[l.Name] = l.Index
	}
	for _, p := range pods {
		host := index[p.HostName]
		if host == 0 {
			continue
		}
		b.add("connect "+p.HostName, linkMessage(unix.RTM_NEWLINK, 0, host, true, u32(unix.IFLA_MASTER, uint32(bridge.index))), anything)
		b.add("configure "+p.HostName, linkMessage(unix.RTM_NEWLINK, 0, host, false, str(unix.IFLA_IFALIAS, p.Alias), bridgePort()), anything)
		p.Bridge.Index = bridge.index
		p.pin(b, host, anything)
		if err := silencePort(p.HostName); err != nil {
			return err
		}
	}
	return nil
}

// configureMaster tells the bridge that the fabric's MAC is behind the master and stays there, whatever a pod
// sends (NTF_STICKY, net/bridge/br_fdb.c). What the fabric sends may go back to it: a node port, or a load balancer, whose
// backend is on another node (toFabric).
func configureMaster(b *batch, master Link) {
	b.add("configure "+master.Name, linkMessage(unix.RTM_NEWLINK, 0, master.Index, false, nest(unix.IFLA_LINKINFO,
		bytesAttr(nl.IFLA_INFO_SLAVE_KIND, []byte("bridge")), nest(nl.IFLA_INFO_SLAVE_DATA, u8(nl.IFLA_BRPORT_MODE, 1)))))
	const ntfSticky = 0x40
	n := &vnl.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(master.Index), State: unix.NUD_NOARP, Flags: unix.NTF_MASTER | ntfSticky}
	b.add("pin the fabric's MAC to "+master.Name, neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, n, nil, VirtualMAC))
}
