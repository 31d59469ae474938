package netlink

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// moveTo gives the bridge, which is there, its port and the host's configuration, and returns what came from the
// master. If that cannot be, the master has it again, and an empty bridge is gone.
func (h *Handle) moveTo(b Bridge, links []Link, lost Lost) (hostconf.Conf, error) {
	if !b.Link.Up && lost.Prepare != nil {
		if err := lost.Prepare(); err != nil {
			return hostconf.Conf{}, errors.Join(err, h.undoMove(hostconf.Conf{}, hostconf.Conf{}, b))
		}
	}
	to, name, master := b.Link.device(), b.Link.Name, b.Master.Name
	conf, err := hostconf.Read(h.socket, b.Master.device())
	have, herr := hostconf.ReadCarried(h.socket, to)
	if err = errors.Join(err, herr, silencePorts(lost.Pods)); err != nil {
		return conf, errors.Join(err, h.undoMove(hostconf.Conf{}, have, b))
	}
	do := &rtnl.Batch{}
	do.Add("configure bridge "+name, bridgeMessage(b))
	// Before the master: what pods say to each other would go out there while the bridge does not know yet where they are.
	connectPods(do, to, lost.Pods, links)
	do.Add("make "+master+" a port of "+name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, true,
		rtnl.U32(unix.IFLA_MASTER, uint32(to.Index))))
	do.Explain(notAPort)
	// With its first port the bridge comes up, but a work queue has to notice before it sends anything; being
	// asked for the link makes the kernel catch up at once (Linux 6.8). Until the next message the host still sends
	// by the master.
	do.Add("look at "+name, rtnl.LinkMessage(unix.RTM_GETLINK, 0, to.Index, false))
	known := hostconf.Decode(lost.Host)
	if b.Link.Up {
		known = b.lost(known)
	}
	conf.WithoutEnd().AddBeside(do, to, have, known)
	conf.Remove(do)
	configureMaster(do, b.Master)
	if conf.SuccessorOf(have) != nil { // which took their neighbours
		connectPods(do, to, lost.Pods, links)
	}
	if err = do.Send(h.socket); err == nil {
		err = hostconf.Arrived(h.socket, conf, known, to)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("move the host's configuration from %s to %s: %w", master, name, err),
			h.undoMove(conf, have, b))
	}
	return conf, err
}

// undoMove gives the configuration back to the master, where it was read, and the bridge what it had: all that can be
// given, and an error says what is missing. A bridge that had neither port nor address goes.
func (h *Handle) undoMove(conf, had hostconf.Conf, b Bridge) error {
	undo := &rtnl.Batch{}
	had.AsLost().AddTo(undo, had.Dev)
	conf.AddTo(undo, conf.Dev)
	conf.RemoveRules(undo, b.Link.device())
	if b.Master.Master == 0 {
		undo.Add("release "+b.Master.Name+" from "+b.Link.Name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, b.Master.Index,
			b.Master.Up, rtnl.U32(unix.IFLA_MASTER, 0)))
		if len(b.Primary) == 0 {
			undo.Add("delete bridge "+b.Link.Name, rtnl.LinkMessage(unix.RTM_DELLINK, 0, b.Link.Index, false), unix.ENODEV)
		}
	}
	err := undo.Send(h.socket)
	if conf.Dev.Index != 0 {
		err = errors.Join(err, hostconf.Arrived(h.socket, conf, hostconf.Conf{}, conf.Dev))
	}
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return h.settle(b.Master, b.left)
}

// giveBack moves what is on the bridge, and what is known to be lost, to the master. If the master does not keep it,
// the bridge has it again.
func (h *Handle) giveBack(b Bridge, conf, lost hostconf.Conf) error {
	to := b.Master.device()
	own, err := rtnl.Dump(h.socket, unix.RTM_GETADDR, unix.RTM_NEWADDR,
		rtnl.Listing{Family: unix.AF_INET6, Index: to.Index}, func(m rtnl.Message) bool { return !m.IsAddress() })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", to.Name, err)
	}
	do := &rtnl.Batch{}
	do.Add("set up "+to.Name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, to.Index, true))
	lost.AddTo(do, to)
	lost.RemoveRules(do, lost.Dev)
	conf.AddTo(do, to)
	// Not before: the kernel flushes the nexthop objects of a bridge without a port (net/ipv4/nexthop.c, nh_netdev_event),
	// maybe between two messages.
	do.Add("release "+to.Name+" from "+conf.Dev.Name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, to.Index, true,
		rtnl.U32(unix.IFLA_MASTER, 0)))
	conf.Remove(do)
	for _, m := range own {
		// systemd-networkd takes the end of a port for that of the interface, and begins anew (252). It listens to routers
		// when it is told of a link-local address, which it is not if that was there all the time.
		do.Add("announce "+m.Prefix().Addr().String(), m.NewAddr(unix.NLM_F_REPLACE, 0, to, to), rtnl.Anything)
	}
	err = do.Send(h.socket)
	if err == nil {
		err = hostconf.Arrived(h.socket, conf, lost, to)
	}
	if err != nil {
		err = fmt.Errorf("move the host's configuration from %s to %s: %w", conf.Dev.Name, to.Name, err)
		if b.Link.Index == 0 {
			return err
		}
		return errors.Join(err, h.takeBack(conf, b))
	}
	addrs, err := h.Addresses(b.Master)
	if err != nil {
		return err
	}
	return h.settle(b.Master, addrs)
}

// takeBack undoes giveBack: the bridge has the configuration again, where it was read.
func (h *Handle) takeBack(conf hostconf.Conf, b Bridge) error {
	left, err := hostconf.Read(h.socket, b.Master.device())
	undo := &rtnl.Batch{}
	if b.Master.Master != 0 {
		undo.Add("make "+b.Master.Name+" a port of "+b.Link.Name, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, true,
			rtnl.U32(unix.IFLA_MASTER, uint32(b.Link.Index))))
	}
	conf = conf.WithoutEnd()
	conf.AddTo(undo, conf.Dev)
	left.Remove(undo)
	err = errors.Join(err, undo.Send(h.socket))
	// Nexthop objects that did not go to the master were flushed without the port, and routes and groups with them.
	have, herr := hostconf.ReadCarried(h.socket, conf.Dev)
	again := &rtnl.Batch{}
	conf.Besides(have).Routes.AddTo(again, conf.Dev, conf.Dev)
	if err = errors.Join(err, herr, again.Send(h.socket),
		hostconf.Arrived(h.socket, conf, hostconf.Conf{}, conf.Dev)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return h.settle(b.Link, b.Primary)
}
