package netlink

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// moveTo gives the bridge, which is there, its port and the host's configuration, and returns what came from the
// master. If that cannot be, the master has it again, and an empty bridge is gone.
func (h *Handle) moveTo(b Bridge, links []Link, lost Lost) (hostConf, error) {
	if !b.Link.Up && lost.Prepare != nil {
		if err := lost.Prepare(); err != nil {
			return hostConf{}, errors.Join(err, h.undoMove(hostConf{}, hostConf{}, b))
		}
	}
	to, name, master := device{b.Link.Index, b.Link.Name}, b.Link.Name, b.Master.Name
	conf, err := readHostConf(h.socket, device{b.Master.Index, master})
	have, herr := readCarried(h.socket, to)
	if err = errors.Join(err, herr, silencePorts(lost.Pods)); err != nil {
		return conf, errors.Join(err, h.undoMove(hostConf{}, have, b))
	}
	do := &batch{}
	do.add("configure bridge "+name, bridgeMessage(b))
	// Before the master: what pods say to each other would go out there while the bridge does not know yet where they are.
	connectPods(do, to, lost.Pods, links)
	do.add("make "+master+" a port of "+name, linkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, true, u32(unix.IFLA_MASTER, uint32(to.index))))
	do.explain(notAPort)
	// With its first port the bridge comes up, but a work queue has to notice before it sends anything; being
	// asked for the link makes the kernel catch up at once (Linux 6.8). Until the next message the host still sends
	// by the master.
	do.add("look at "+name, linkMessage(unix.RTM_GETLINK, 0, to.index, false))
	known := decodeSnapshot(lost.Host)
	if b.Link.Up {
		known = b.lost(known)
	}
	conf.withoutEnd().addBeside(do, to, have, known)
	conf.remove(do)
	configureMaster(do, b.Master)
	if conf.successorOf(have) != nil { // which took their neighbours
		connectPods(do, to, lost.Pods, links)
	}
	if err = do.send(h.socket); err == nil {
		err = arrived(h.socket, conf, known, to)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("move the host's configuration from %s to %s: %w", master, name, err), h.undoMove(conf, have, b))
	}
	return conf, err
}

// undoMove gives the configuration back to the master, where it was read, and the bridge what it had: all that can be
// given, and an error says what is missing. A bridge that had neither port nor address goes.
func (h *Handle) undoMove(conf, had hostConf, b Bridge) error {
	undo := &batch{}
	had.asLost().addTo(undo, had.dev)
	conf.addTo(undo, conf.dev)
	conf.removeRules(undo, device{b.Link.Index, b.Link.Name})
	if b.Master.Master == 0 {
		undo.add("release "+b.Master.Name+" from "+b.Link.Name, linkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, b.Master.Up, u32(unix.IFLA_MASTER, 0)))
		if len(b.Primary) == 0 {
			undo.add("delete bridge "+b.Link.Name, linkMessage(unix.RTM_DELLINK, 0, b.Link.Index, false), unix.ENODEV)
		}
	}
	err := undo.send(h.socket)
	if conf.dev.index != 0 {
		err = errors.Join(err, arrived(h.socket, conf, hostConf{}, conf.dev))
	}
	if err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return h.settle(b.Master, b.left)
}

// giveBack moves what is on the bridge, and what is known to be lost, to the master. If the master does not keep it,
// the bridge has it again.
func (h *Handle) giveBack(b Bridge, conf, lost hostConf) error {
	to := device{b.Master.Index, b.Master.Name}
	own, err := dump(h.socket, unix.RTM_GETADDR, unix.RTM_NEWADDR, listing{family: unix.AF_INET6, index: to.index}, func(m kernelMessage) bool { return !m.isAddress() })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", to.name, err)
	}
	do := &batch{}
	do.add("set up "+to.name, linkMessage(unix.RTM_NEWLINK, 0, to.index, true))
	lost.addTo(do, to)
	lost.removeRules(do, lost.dev)
	conf.addTo(do, to)
	// Not before: the kernel flushes the nexthop objects of a bridge without a port (net/ipv4/nexthop.c, nh_netdev_event),
	// maybe between two messages.
	do.add("release "+to.name+" from "+conf.dev.name, linkMessage(unix.RTM_NEWLINK, 0, to.index, true, u32(unix.IFLA_MASTER, 0)))
	conf.remove(do)
	for _, m := range own {
		// systemd-networkd takes the end of a port for that of the interface, and begins anew (252). It listens to routers
		// when it is told of a link-local address, which it is not if that was there all the time.
		do.add("announce "+m.Prefix().Addr().String(), m.newAddr(unix.NLM_F_REPLACE, 0, to, to), anything)
	}
	err = do.send(h.socket)
	if err == nil {
		err = arrived(h.socket, conf, lost, to)
	}
	if err != nil {
		err = fmt.Errorf("move the host's configuration from %s to %s: %w", conf.dev.name, to.name, err)
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
func (h *Handle) takeBack(conf hostConf, b Bridge) error {
	left, err := readHostConf(h.socket, device{b.Master.Index, b.Master.Name})
	undo := &batch{}
	if b.Master.Master != 0 {
		undo.add("make "+b.Master.Name+" a port of "+b.Link.Name, linkMessage(unix.RTM_NEWLINK, 0, b.Master.Index, true, u32(unix.IFLA_MASTER, uint32(b.Link.Index))))
	}
	conf = conf.withoutEnd()
	conf.addTo(undo, conf.dev)
	left.remove(undo)
	err = errors.Join(err, undo.send(h.socket))
	// Nexthop objects that did not go to the master were flushed without the port, and routes and groups with them.
	have, herr := readCarried(h.socket, conf.dev)
	again := &batch{}
	conf.besides(have).routes.addTo(again, conf.dev, conf.dev)
	if err = errors.Join(err, herr, again.send(h.socket), arrived(h.socket, conf, hostConf{}, conf.dev)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	return h.settle(b.Link, b.Primary)
}
