package netlink

import (
	"errors"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"golang.org/x/sys/unix"
)

// Exists says whether there is a link of that name.
func (h *Handle) Exists(name string) bool {
	_, err := h.Index(name)
	return err == nil
}

// IsPods says whether the link is the host veth with the alias. One that the classic plugin made, and that nobody has
// taken over yet, has none.
func (h *Handle) IsPods(name, alias string) bool {
	l, err := h.Link(name)
	return err == nil && (l.Alias == alias || l.Alias == "")
}

// PodVeth is the name of the host veth with the alias: the usual one, or whatever it is called. Where there is none, it
// is the usual name.
func (h *Handle) PodVeth(alias, usual string) (string, error) {
	if h.Exists(usual) {
		return usual, nil
	}
	links, err := h.Links()
	for _, l := range links {
		if l.Kind == "veth" && l.Alias == alias {
			return l.Name, nil
		}
	}
	return usual, err
}

// RenamePod gives the pod's host veth another name, and what the host routes to it (HostName, Alias, MAC and Addresses
// count). meanwhile is called when it is down: the kernel renames a link that is up only since Linux 6.2. A link that
// is not there, or is another's, stays.
func (h *Handle) RenamePod(p Pod, to string, meanwhile func() error) error {
	l, err := h.Link(p.HostName)
	if errors.Is(err, ErrNotFound) ||
		err == nil && l.Alias != p.Alias && l.Alias != "" { // one of the classic plugin has none
		return meanwhile()
	}
	if err != nil {
		return err
	}
	if err := h.SetDown(p.HostName); err != nil {
		return err
	}
	b := &rtnl.Batch{}
	if err = meanwhile(); err == nil {
		b.Add("rename "+p.HostName+" to "+to, rtnl.LinkMessage(unix.RTM_NEWLINK, 0, l.Index, false,
			rtnl.Text(unix.IFLA_IFNAME, to)), unix.ENODEV)
	}
	b.Add("set "+to+" up", rtnl.LinkMessage(unix.RTM_NEWLINK, 0, l.Index, true), unix.ENODEV)
	p.route(b, l)
	return errors.Join(err, b.Send(h.socket))
}
