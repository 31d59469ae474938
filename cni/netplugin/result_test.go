package netplugin

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/network"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// A route of the IPAM plugin's goes by the gateway of its family, unless it says another one, or that it needs none.
func TestRoutesGetAGateway(t *testing.T) {
	t.Parallel()
	const link = 253
	for name, c := range map[string]struct {
		dst, gw string
		scope   *int
		want    string
	}{
		"without a gateway":         {dst: "0.0.0.0/0", want: "0.0.0.0/0 by 10.240.0.1"},
		"without one, IPv6":         {dst: "::/0", want: "::/0 by fd00::1"},
		"not the default one":       {dst: "10.96.0.0/12", want: "10.96.0.0/12 by 10.240.0.1"},
		"with a gateway":            {dst: "0.0.0.0/0", gw: "10.240.0.7", want: "0.0.0.0/0 by 10.240.0.7"},
		"of the link":               {dst: "169.254.0.0/16", scope: types100.Int(link), want: "169.254.0.0/16 by invalid IP"},
		"of the link, by a gateway": {dst: "169.254.0.0/16", gw: "10.240.0.7", scope: types100.Int(link), want: "169.254.0.0/16 by 10.240.0.7"},
		"global, without a gateway": {dst: "10.96.0.0/12", scope: types100.Int(0), want: "10.96.0.0/12 by 10.240.0.1"},
	} {
		_, dst, err := net.ParseCIDR(c.dst)
		if err != nil {
			t.Fatal(err)
		}
		given := &types100.Result{Routes: []*types.Route{{Dst: *dst, GW: net.ParseIP(c.gw), Scope: c.scope}}}
		for _, family := range []struct{ address, gateway string }{{"10.240.1.1/16", "10.240.0.1"}, {"fd00::1:1/64", "fd00::1"}} {
			ip, prefix, perr := net.ParseCIDR(family.address)
			if perr != nil {
				t.Fatal(perr)
			}
			given.IPs = append(given.IPs, &types100.IPConfig{Address: net.IPNet{IP: ip, Mask: prefix.Mask}, Gateway: net.ParseIP(family.gateway)})
		}
		e := &network.Endpoint{}
		if err = apply(given, e); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s by %s", e.Routes[0].Dst, e.Routes[0].GW); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What the runtime gets begins with what the plugins before made, to which the indices of addresses have to fit.
func TestAResultBehindOthers(t *testing.T) {
	t.Parallel()
	prev := &types100.Result{Interfaces: []*types100.Interface{{Name: "one"}, {Name: "two"}}, DNS: types.DNS{Domain: "theirs"}}
	own := &types100.Result{
		Interfaces: []*types100.Interface{{Name: "azure0"}, {Name: "eth0"}},
		IPs: []*types100.IPConfig{{Interface: types100.Int(1),
			Address: net.IPNet{IP: net.IPv4(10, 240, 1, 1), Mask: net.CIDRMask(16, 32)}}},
	}
	got := behind(prev, own)
	var names []string
	for _, i := range got.Interfaces {
		names = append(names, i.Name)
	}
	if text := strings.Join(names, " "); text != "one two azure0 eth0" || *got.IPs[0].Interface != slices.Index(names, "eth0") ||
		got.DNS.Domain != "theirs" {
		t.Errorf("%s, the address is of %d, domain %s", text, *got.IPs[0].Interface, got.DNS.Domain)
	}
	if alone := behind(nil, own); alone != own || cni.PrefixOf(alone.IPs[0].Address).String() != "10.240.1.1/16" {
		t.Errorf("alone it is %v", alone)
	}
}
