package manager_test

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
)

func TestHostIfNameIsStable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 4)
	for o, want := range map[network.Owner]string{
		{Network: "azure", ContainerID: "c1", IfName: "eth0"}:    "azvab9234ec104", // printf azure/c1/eth0 | sha256sum
		{Network: "azure", ContainerID: "c1", IfName: "eth1"}:    "azv62ca08cb92a",
		{Network: "azure2", ContainerID: "c1", IfName: "eth0"}:   "azvd268bfaeb66",
		{Network: "azure", ContainerID: long, IfName: "eth0"}:    "azv",
		{Network: long, ContainerID: long, IfName: long[1:16]}:   "azv",
		{Network: "a", ContainerID: "b.c_d-e", IfName: "eth0.1"}: "azv",
	} {
		got := o.HostIfName()
		if got != want && want != "azv" {
			t.Errorf("the host veth of %s is %s, want %s", o, got, want)
		}
		if len(got) != 14 || got != o.HostIfName() {
			t.Errorf("the host veth of %s is %s", o, got)
		}
	}
}

func TestParseOwnerReadsWhatStringWrote(t *testing.T) {
	t.Parallel()
	for _, o := range []network.Owner{c1, {Network: "a.b-c_d", ContainerID: strings.Repeat("f", 64), IfName: "eth0.100"}} {
		if got, ok := network.ParseOwner(o.String()); !ok || got != o {
			t.Errorf("%s is read as %s, %v", o, got, ok)
		}
	}
	for _, text := range []string{"", "azure", "azure/c1", "azure/c1/", "/c1/eth0", "azure//eth0",
		"azure/c1/eth0/more", "a comment of somebody"} {
		if o, ok := network.ParseOwner(text); ok {
			t.Errorf("%q is read as the owner %s", text, o)
		}
	}
}

func TestMACOf(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		addresses []string
		want      string
	}{
		"is 0a:58 and the IPv4 address":        {[]string{"10.240.1.2/16"}, "0a:58:0a:f0:01:02"},
		"does not depend on the prefix length": {[]string{"10.240.1.2/32"}, "0a:58:0a:f0:01:02"},
		"prefers IPv4":                         {[]string{"fd00::1:2/64", "10.240.1.2/16"}, "0a:58:0a:f0:01:02"},
		"takes the first IPv4 address":         {[]string{"255.255.255.254/16", "10.240.1.2/16"}, "0a:58:ff:ff:ff:fe"},
		"is a hash of an IPv6 address":         {[]string{"fd00::1:2/64"}, "0a:58:ce:58:3d:48"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := network.MACOf(prefixes(test.addresses...))
			if got.String() != test.want {
				t.Errorf("MAC %s, want %s", got, test.want)
			}
			if got[0]&1 != 0 || got[0]&2 == 0 {
				t.Errorf("%s is not a locally administered unicast MAC", got)
			}
		})
	}
}

func TestParseModeReadsEveryAlias(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]network.Mode{
		"": network.ModeTunnel, "tunnel": network.ModeTunnel, "l2-tunnel": network.ModeTunnel, "l2tunnel": network.ModeTunnel,
		"bridge": network.ModeBridge, "l2-bridge": network.ModeBridge, "l2bridge": network.ModeBridge, "transparent": network.ModeTransparent,
	} {
		if got, err := network.ParseMode(text); err != nil || got != want {
			t.Errorf("mode %q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"Tunnel", "l3", " bridge"} {
		_, err := network.ParseMode(text)
		wantError(t, err, network.ErrUnsupported)
	}
}
