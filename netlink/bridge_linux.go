package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	vnl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Bridge is a bridge with its master, as it is.
type Bridge struct {
	Link    Link
	Master  Link
	Primary []netip.Prefix // the host's addresses, which live on the bridge
	Local   []netip.Prefix // the host's addresses on all other interfaces, loopback ones left out

	all   []rtnl.Message  // the host's addresses as they were read; nil: not yet
	left  []netip.Prefix  // those that are on the master
	moved []hostconf.Conf // what EnsureBridge took from the master, on the master's terms, the newest first
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
	if err = h.readAddresses(&b); err != nil || missing {
		return b, false, err
	}
	if b.Link.Kind != "bridge" {
		return b, false, fmt.Errorf("%w: %s is a %s, not a bridge", ErrExists, name, b.Link.Kind)
	}
	ok = b.Master.Master == b.Link.Index && b.Link.Up && b.Master.Up && len(b.left) == 0 &&
		bytes.Equal(b.Link.MAC, b.Master.MAC) && b.Link.MTU == b.Master.MTU
	return b, ok, nil
}

// hostAddresses lists those of all interfaces.
func (h *Handle) hostAddresses() ([]rtnl.Message, error) {
	list, err := rtnl.Dump(h.socket, unix.RTM_GETADDR, unix.RTM_NEWADDR, rtnl.Listing{}, rtnl.Message.IsIP)
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	return list, nil
}

// readAddresses sorts the host's addresses.
func (h *Handle) readAddresses(b *Bridge) (err error) {
	if b.all, err = h.hostAddresses(); err != nil {
		return err
	}
	of := map[int][]rtnl.Message{}
	for _, m := range b.all {
		at := m.Index()
		if at != b.Link.Index && at != b.Master.Index {
			at = 0
		}
		of[at] = append(of[at], m)
	}
	b.Local = slices.DeleteFunc(rtnl.Prefixes(of[0]), func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	if b.Link.Index != 0 {
		b.Primary = rtnl.Prefixes(of[b.Link.Index])
	}
	b.left = rtnl.Prefixes(of[b.Master.Index])
	return nil
}

// Bereft says whether the host has lost all its addresses of a family, which it has in the snapshot: not one is on the
// bridge or the master. An address that somebody replaced by another is not lost.
func (b Bridge) Bereft(snapshot []byte) bool {
	return b.Link.Index != 0 && len(b.lostFamilies(SnapshotAddresses(snapshot))) > 0
}

func (b Bridge) lostFamilies(known []netip.Prefix) (lost []byte) {
	for _, k := range known {
		has := func(p netip.Prefix) bool { return p.Addr().Is4() == k.Addr().Is4() }
		if !slices.ContainsFunc(b.Primary, has) && !slices.ContainsFunc(b.left, has) {
			lost = append(lost, byte(rtnl.Family(k.Addr())))
		}
	}
	return lost
}

// lost is what the host had of the families of which it has no address any more.
func (b Bridge) lost(c hostconf.Conf) hostconf.Conf {
	gone := b.lostFamilies(rtnl.Prefixes(c.Addrs))
	return c.Of(func(m rtnl.Message) bool {
		return slices.Contains(gone, m.Family()) || len(gone) > 0 && m.Family() == unix.AF_UNSPEC // groups of nexthops
	})
}

// Lost is what goes with a bridge that somebody deletes, and has to come back with it.
type Lost struct {
	Host []byte // what Snapshot gave
	Pods []Pod  // whoever may be connected; host veth, MAC and addresses count

	// Prepare is called when there is a bridge and it is down, before it gets anything; nil is nothing.
	Prepare func() error
}

// EnsureBridge makes the bridge with the master as its port and moves the host's configuration from the master to it,
// all but the empty bridge in one batch: a process that is killed leaves either the old state or the new one. If a part
// fails, everything goes back to the master. A bridge that is not there, or was down, gets what it lost in the same
// batch; what the master has anew goes before it. So does one on which the host has no address any more. Errors:
// ErrNotFound for the master, ErrExists, ErrMasterTaken, ErrNoPort.
func (h *Handle) EnsureBridge(name, master string, lost Lost) (Bridge, error) {
	b, ok, err := h.Bridge(name, master)
	if err != nil || ok && !b.Bereft(lost.Host) {
		return b, err
	}
	links, err := h.Links()
	if err != nil {
		return b, err
	}
	if err := canBePort(b.Master, links); err != nil {
		return b, err
	}
	if b.Link.Index == 0 {
		if b.Link, err = h.createBridge(name, b.Master, freeIndex(links)); err != nil {
			return b, err
		}
	}
	var moved []hostconf.Conf
	for range 2 { // a client may put an address on the master meanwhile: that moves, too
		conf, err := h.moveTo(b, links, lost)
		if err != nil {
			return b, err
		}
		moved = slices.Insert(moved, 0, conf)
		if b, ok, err = h.Bridge(name, master); err != nil {
			return b, err
		}
		if ok {
			b.moved = moved
			return b, errors.Join(h.routeToPods(b.Link, lost.Pods), h.settle(b.Link, b.Primary))
		}
	}
	return b, fmt.Errorf("bridge %s does not keep its configuration: something else manages %s or %s", name, name, master)
}

// nameOf is the name of a link, for messages.
func (h *Handle) nameOf(index int) string {
	l, err := h.link(rtnl.LinkMessage(unix.RTM_GETLINK, 0, index, false, rtnl.WithoutStats()))
	if err != nil {
		return fmt.Sprintf("interface %d", index)
	}
	return l.Name
}

// RemoveBridge gives the host's configuration back to the master, on the terms that it had there, and when it is sure
// that the master has it, deletes the bridge. What the bridge has lost, or somebody deleted with it, the master gets by
// the snapshot.
func (h *Handle) RemoveBridge(name, master string, snapshot []byte) error {
	b, _, err := h.Bridge(name, master)
	if err != nil {
		return err
	}
	known := hostconf.Decode(snapshot)
	known.Dev.Name = name
	if b.Link.Index == 0 {
		if known.Rules, err = hostconf.ReadRules(h.socket, name); err != nil { // they outlive the bridge
			return err
		}
		return h.giveBack(b, hostconf.Conf{Dev: known.Dev}, known)
	}
	conf, err := hostconf.Read(h.socket, rtnl.Device{Index: b.Link.Index, Name: name})
	if err != nil {
		return err
	}
	conf.Neighs = slices.DeleteFunc(conf.Neighs, rtnl.Message.IsPods)
	if err := h.giveBack(b, conf.OnTerms(known), b.lost(known)); err != nil {
		return err
	}
	return h.deleteBridge(b.Link)
}

// createBridge makes an empty bridge that is down: its settings can be written before the host's configuration comes to
// it.
func (h *Handle) createBridge(name string, master Link, index int) (Link, error) {
	do := &rtnl.Batch{}
	do.Add("create bridge "+name, rtnl.LinkMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, index, false,
		rtnl.Bytes(unix.IFLA_ADDRESS, master.MAC), rtnl.U32(unix.IFLA_MTU, uint32(master.MTU)),
		rtnl.Text(unix.IFLA_IFNAME, name), bridgeSettings()))
	return Link{Index: index, Name: name, Kind: "bridge", MAC: master.MAC, MTU: master.MTU}, do.Send(h.socket)
}

func (h *Handle) deleteBridge(l Link) error {
	do := &rtnl.Batch{}
	do.Add("delete bridge "+l.Name, rtnl.LinkMessage(unix.RTM_DELLINK, 0, l.Index, false), unix.ENODEV)
	return do.Send(h.socket)
}

// bridgeMessage corrects a bridge, and sets it up. Its MAC is set explicitly: a bridge
// without a MAC of its own takes the lowest one of its ports, and the host's MAC would change whenever a
// pod starts (net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id).
func bridgeMessage(b Bridge) *nl.NetlinkRequest {
	var attrs []nl.NetlinkRequestData
	// Even the same MAC set again makes the kernel forget all neighbours, permanent ones too (neigh_changeaddr).
	if !bytes.Equal(b.Link.MAC, b.Master.MAC) {
		attrs = append(attrs, rtnl.Bytes(unix.IFLA_ADDRESS, b.Master.MAC))
	}
	if b.Link.MTU != b.Master.MTU {
		attrs = append(attrs, rtnl.U32(unix.IFLA_MTU, uint32(b.Master.MTU)))
	}
	return rtnl.LinkMessage(unix.RTM_NEWLINK, 0, b.Link.Index, true, attrs...)
}

func bridgeSettings() *nl.RtAttr {
	return rtnl.Nest(unix.IFLA_LINKINFO, rtnl.Bytes(nl.IFLA_INFO_KIND, []byte("bridge")), rtnl.Nest(nl.IFLA_INFO_DATA,
		rtnl.U32(nl.IFLA_BR_STP_STATE, 0),
		// Without a querier, snooping would stop multicast (neighbour discovery among it).
		rtnl.U8(nl.IFLA_BR_MCAST_SNOOPING, 0)))
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
	if err = errors.Join(err, silencePorts(pods)); err != nil {
		return err
	}
	do := &rtnl.Batch{}
	do.Add("configure bridge "+b.Link.Name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, b.Link.Index, true, bridgeSettings()))
	configureMaster(do, b.Master)
	connectPods(do, b.Link.device(), pods, links)
	if err := do.Send(h.socket); err != nil {
		return err
	}
	return h.routeToPods(b.Link, pods)
}

// Ports lists the names of the bridge's ports.
func (h *Handle) Ports(bridge Link) (map[string]bool, error) {
	list, err := rtnl.Dump(h.socket, unix.RTM_GETLINK, unix.RTM_NEWLINK, rtnl.Listing{Family: unix.AF_BRIDGE},
		func(m rtnl.Message) bool { return int(m.U32(unix.IFLA_MASTER)) == bridge.Index })
	if err != nil {
		return nil, fmt.Errorf("list the ports of %s: %w", bridge.Name, err)
	}
	ports := make(map[string]bool, len(list))
	for _, m := range list {
		ports[m.Text(unix.IFLA_IFNAME)] = true
	}
	return ports, nil
}

// connectPods makes the host veths of pods ports again, with what goes with that: a bridge that was deleted took all
// of it along, and one that was down, or had another MAC, lost its neighbours. A pod that is gone needs nothing.
func connectPods(b *rtnl.Batch, bridge rtnl.Device, pods []Pod, links []Link) {
	index := map[string]int{}
	for _, l := range links {
		index[l.Name] = l.Index
	}
	for _, p := range pods {
		host := index[p.HostName]
		if host == 0 {
			continue
		}
		b.Add("connect "+p.HostName,
			rtnl.LinkMessage(unix.RTM_NEWLINK, 0, host, true, rtnl.U32(unix.IFLA_MASTER, uint32(bridge.Index))), rtnl.Anything)
		b.Add("configure "+p.HostName,
			rtnl.LinkMessage(unix.RTM_NEWLINK, 0, host, false, rtnl.Text(unix.IFLA_IFALIAS, p.Alias), bridgePort()),
			rtnl.Anything)
		p.Bridge.Index = bridge.Index
		p.pin(b, host, rtnl.Anything)
	}
}

// configureMaster tells the bridge that the fabric's MAC is behind the master and stays there, whatever a pod sends
// (NTF_STICKY, net/bridge/br_fdb.c). What the fabric sends may go back to it: a node port, or a load balancer, whose
// backend is on another node (toFabric).
func configureMaster(b *rtnl.Batch, master Link) {
	b.Add("configure "+master.Name,
		rtnl.LinkMessage(unix.RTM_NEWLINK, 0, master.Index, false, rtnl.Nest(unix.IFLA_LINKINFO,
			rtnl.Bytes(nl.IFLA_INFO_SLAVE_KIND, []byte("bridge")),
			rtnl.Nest(nl.IFLA_INFO_SLAVE_DATA, rtnl.U8(nl.IFLA_BRPORT_MODE, 1)))))
	const ntfSticky = 0x40
	n := &vnl.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(master.Index), State: unix.NUD_NOARP,
		Flags: unix.NTF_MASTER | ntfSticky}
	b.Add("pin the fabric's MAC to "+master.Name,
		neighRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, n, nil, azure.FabricMAC))
}
