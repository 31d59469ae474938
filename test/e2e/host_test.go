//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"github.com/Azure/azure-container-networking/test/node"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostLeftovers looks at the VM's kernel, with other code than the plugins'.
func (l *lab) hostLeftovers(n *node.Node) []string {
	l.Helper()
	var found []string
	l.must(n.VM.Ns.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, link := range links {
			a := link.Attrs()
			if strings.HasPrefix(a.Name, "azv") || link.Type() == "veth" {
				found = append(found, "link "+a.Name)
			}
			neighs, err := netlink.NeighList(a.Index, unix.AF_INET)
			if err != nil {
				return err
			}
			for _, e := range neighs {
				if isPodMAC(e.HardwareAddr) {
					found = append(found, "neighbour "+e.IP.String())
				}
			}
		}
		fdb, err := netlink.NeighList(0, unix.AF_BRIDGE)
		if err != nil {
			return err
		}
		for _, e := range fdb {
			if isPodMAC(e.HardwareAddr) {
				found = append(found, "fdb entry "+e.HardwareAddr.String())
			}
		}
		elements, err := elements()
		found = append(found, elements...)
		return err
	}))
	return found
}

// hosts are the sets of the host's own addresses.
var hosts = regexp.MustCompile("-(host|local)[46]$")

func isPodMAC(m net.HardwareAddr) bool { return len(m) == 6 && m[0] == 0x0a && m[1] == 0x58 }

// elements lists all elements of the plugin's sets, the host's own addresses aside, and the pods' chains.
func elements() ([]string, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, t := range tables {
		sets, err := c.GetSets(t)
		if err != nil {
			return nil, err
		}
		for _, s := range sets {
			if hosts.MatchString(s.Name) {
				continue
			}
			list, err := c.GetSetElements(s)
			if err != nil {
				return nil, err
			}
			for _, e := range list {
				found = append(found, fmt.Sprintf("element %x of %s", e.Key, s.Name))
			}
		}
	}
	chains, err := c.ListChains()
	for _, chain := range chains {
		if strings.Contains(chain.Name, "-azv") {
			found = append(found, "chain "+chain.Name)
		}
	}
	return found, err
}

// hostConf is the host's own configuration as text: addresses and routes, whatever device carries them, but for
// the routes to its pods.
func (l *lab) hostConf(n *node.Node) string {
	l.Helper()
	var lines []string
	l.must(n.VM.Ns.Do(func() error {
		addrs, err := netlink.AddrList(nil, unix.AF_INET)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			lines = append(lines, "address "+a.IPNet.String())
		}
		routes, err := netlink.RouteList(nil, unix.AF_INET)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil && strings.HasPrefix(link.Attrs().Name, "azv") {
				continue
			}
			lines = append(lines, fmt.Sprintf("route %v by %v metric %d", r.Dst, r.Gw, r.Priority))
		}
		return nil
	}))
	return strings.Join(lines, "\n")
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// load gives nft a text.
func (l *lab) load(n *node.Node, text string) {
	l.Helper()
	cmd := n.VM.Ns.Command(l.ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("nft -f: %v: %s", err, out)
	}
}
