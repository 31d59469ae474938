package hostconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/netlink/wire"
)

// AddBeside appends the requests that give the configuration to a device which has one already, and with it what else
// the host is known to have lost.
func (c Conf) AddBeside(b *rtnl.Batch, to rtnl.Device, have, lost Conf) {
	// An address that takes the place of another has to be the first of its subnet.
	if old := c.SuccessorOf(have); old != nil {
		have.Of(old.SameSubnet).Remove(b)
		c.AddTo(b, to)
		have.without(old).AsLost().AddTo(b, to) // when the last address goes, the kernel takes routes and neighbours along
	} else if old := c.SuccessorOf(lost); old != nil {
		lost = lost.without(old)
		c.AddTo(b, to)
	}
	lost.WithoutEnd().AddTo(b, to)
	c.AddTo(b, to)
}

// Arrived says what of a configuration is not on a device. What was only remembered may not fit any more, but for all
// of the host's addresses.
func Arrived(s *wire.Socket, conf, known Conf, dev rtnl.Device) error {
	have, err := Read(s, dev)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, m := range have.All() {
		for _, k := range m.Keys() {
			there[k] = true
		}
	}
	var missing []string
	for _, m := range conf.All() {
		keys := m.Keys()
		one, paths := keys[0], keys[1:] // the paths may be the same one now: what both devices had
		if !there[one] && (len(paths) == 0 || slices.ContainsFunc(paths, func(k string) bool { return !there[k] })) {
			missing = append(missing, m.Name())
		}
	}
	is4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
	if i := slices.IndexFunc(rtnl.Prefixes(known.Addrs), is4); i >= 0 &&
		!slices.ContainsFunc(rtnl.Prefixes(have.Addrs), is4) {
		missing = append(missing, "address "+rtnl.Prefixes(known.Addrs)[i].String())
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s does not keep %s: something else manages it", dev.Name, strings.Join(missing, ", "))
	}
	return nil
}
