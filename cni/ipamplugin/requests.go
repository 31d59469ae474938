package ipamplugin

import (
	"net/netip"
	"strings"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/ipam"
)

// requests says what is asked for: one address of each family. Which families, "ipam.families" says, else what
// is asked for by address or subnet, else it is IPv4.
func (c *command) requests(args cni.Args) ([]ipam.Request, error) {
	asked, err := askedAddresses(c.conf, args)
	if err != nil {
		return nil, err
	}
	subnet, _ := netip.ParsePrefix(c.conf.IPAM.Subnet) // validated; none is invalid
	wanted := map[bool]bool{}                          // by "is IPv6"
	for _, f := range c.conf.IPAM.Families {
		wanted[f == "ipv6"] = true
	}
	if len(wanted) == 0 {
		for v6 := range asked {
			wanted[v6] = true
		}
		if subnet.IsValid() {
			wanted[subnet.Addr().Is6()] = true
		}
		if len(wanted) == 0 {
			wanted[false] = true
		}
	}
	for v6, a := range asked {
		if !wanted[v6] {
			return nil, cni.Invalid("ipam.families", strings.Join(c.conf.IPAM.Families, ","),
				"address "+a.String()+" is asked for, which is of another family")
		}
	}
	var requests []ipam.Request
	for _, v6 := range []bool{false, true} {
		if !wanted[v6] {
			continue
		}
		q := ipam.Request{Owner: c.owner, Master: c.conf.Master, IPv6: v6, Address: asked[v6]}
		if subnet.IsValid() && subnet.Addr().Is6() == v6 {
			q.Subnet = subnet
		}
		requests = append(requests, q)
	}
	return requests, nil
}

// askedAddresses collects the addresses that are asked for, by "is IPv6". A later source wins over an earlier
// one for its family: ipam.ipAddress, CNI_ARGS IP, args.cni.ips, runtimeConfig.ips.
func askedAddresses(conf *cni.IPAMConf, args cni.Args) (map[bool]netip.Addr, error) {
	asked := map[bool]netip.Addr{}
	for _, source := range []struct {
		key    string
		values []string
	}{
		{"ipam.ipAddress", []string{conf.IPAM.IPAddress}},
		{"CNI_ARGS IP", strings.Split(string(args.IP), ",")},
		{"args.cni.ips", conf.Args.CNI.IPs},
		{"runtimeConfig.ips", conf.RuntimeConfig.IPs},
	} {
		seen := map[bool]bool{}
		for _, text := range source.values {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			a, err := cni.ParseAddress(text)
			if err != nil {
				return nil, cni.Invalid(source.key, text, "an address is expected, with or without a prefix length")
			}
			if seen[a.Is6()] {
				return nil, cni.Invalid(source.key, text, "more than one address of a family is asked for")
			}
			seen[a.Is6()] = true
			asked[a.Is6()] = a
		}
	}
	return asked, nil
}
