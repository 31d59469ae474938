package network

import (
	"net"
	"net/netip"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
)

// Windows' names, which Wine cannot have: adapters, and the ports of switches that show in their place.

func adapter(index int, name, prefix string) platform.Interface {
	i := platform.Interface{Index: index, Name: name, MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, byte(index)}, Up: true}
	if prefix != "" {
		i.Prefixes = []netip.Prefix{netip.MustParsePrefix(prefix)}
	}
	return i
}

var pool = []netip.Prefix{netip.MustParsePrefix("10.240.0.5/16")}

func TestTheAdapterThatHNSIsTold(t *testing.T) {
	plain := []platform.Interface{adapter(3, "Ethernet", "10.240.0.4/16"), adapter(4, "Ethernet 2", "10.241.0.4/16")}
	switched := []platform.Interface{adapter(4, "Ethernet 2", "10.241.0.4/16"), adapter(9, "vEthernet (Ethernet)", "10.240.0.4/16")}
	beside := append([]platform.Interface{adapter(3, "Ethernet", "")}, switched...)
	for name, c := range map[string]struct {
		ifaces          []platform.Interface
		master, adapter string // of the configuration
		told, recorded  string
	}{
		"found by the pods' subnet":                      {plain, "", "", "Ethernet", "Ethernet"},
		"named":                                          {plain, "Ethernet 2", "", "Ethernet 2", "Ethernet 2"},
		"behind a switch, found":                         {switched, "", "", "", "Ethernet"},
		"behind a switch, named as before":               {switched, "Ethernet", "", "", "Ethernet"},
		"behind a switch, named as the switch's port":    {switched, "vEthernet (Ethernet)", "", "", "Ethernet"},
		"beside the switch's port":                       {beside, "Ethernet", "", "", "Ethernet"},
		"another one is behind a switch":                 {switched, "Ethernet 2", "", "Ethernet 2", "Ethernet 2"},
		"adapterName":                                    {plain, "", "Ethernet 2", "Ethernet 2", "Ethernet"},
		"adapterName of one that the host does not show": {plain, "", "Ethernet 7", "Ethernet 7", "Ethernet"},
		"named in capitals":                              {plain, "ETHERNET 2", "", "Ethernet 2", "Ethernet 2"},
		"adapterName in capitals":                        {plain, "", "ETHERNET 2", "Ethernet 2", "Ethernet"},
		"behind a switch, named in capitals":             {switched, "ETHERNET", "", "", "Ethernet"},
		"adapterName of one behind a switch":             {switched, "Ethernet 2", "Ethernet", "", "Ethernet 2"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := Config{Mode: ModeBridge, Master: c.master, HNS: &HNSConfig{Adapter: c.adapter}}
			n, err := (&State{}).Configure(conf, "azure", pool, listed(c.ifaces...))
			if err != nil {
				t.Fatal(err)
			}
			if got := n.HNSAdapter(); got != c.told || n.Master != c.recorded || n.Bridge != "azure" {
				t.Errorf("HNS is told %q, want %q; master %q, bridge %q", got, c.told, n.Master, n.Bridge)
			}
			if conf.HNS.Adapter != c.adapter {
				t.Error("the configuration was changed")
			}
		})
	}
	odd := Network{HNS: &HNSConfig{Adapter: "vEthernet"}}
	if got := odd.HNSAdapter(); got != "" {
		t.Errorf("HNS is told %q", got)
	}
}

// The first ADD puts the adapter behind a switch. To the next one it is the same network on the same adapter.
func TestAnAdapterThatGoesBehindASwitchIsTheSame(t *testing.T) {
	s := &State{Networks: map[string]*Network{}}
	conf := Config{Mode: ModeBridge, HNS: &HNSConfig{}}
	for _, c := range []struct{ shown, told string }{{"Ethernet 2", "Ethernet 2"}, {"vEthernet (Ethernet 2)", ""},
		{"Ethernet 2", "Ethernet 2"}} {
		n, err := s.Configure(conf, "azure", pool, listed(adapter(3, c.shown, "10.240.0.4/16")))
		if err != nil {
			t.Fatal(err)
		}
		if n.Master != "Ethernet 2" || n.HNSAdapter() != c.told || len(n.Former) > 0 {
			t.Errorf("%s: master %q, HNS is told %q, former %v", c.shown, n.Master, n.HNSAdapter(), n.Former)
		}
		n.HNSID = "made"
		n.Endpoints.Set(&Endpoint{})
		s.Networks["azure"] = n
	}
}

// HNS keeps the networks of one adapter apart.
func TestNetworksOfOneAdapterHaveTheirOwnSettings(t *testing.T) {
	ifaces := []platform.Interface{adapter(3, "Ethernet", "10.240.0.4/16")}
	s := &State{Networks: map[string]*Network{}}
	for name, mode := range map[string]Mode{"one": ModeBridge, "two": ModeTunnel} {
		n, err := s.Configure(Config{Mode: mode, HNS: &HNSConfig{}}, name, pool, listed(ifaces...))
		if err != nil {
			t.Fatal(err)
		}
		n.Endpoints.Set(&Endpoint{})
		s.Networks[name] = n
	}
	delete(s.Networks, "one")
	if s.Shares(Former{Master: "Ethernet", Bridge: "one"}) {
		t.Error("one network's switch counts as the other's: cleanup would leave it")
	}
}

// listed is what configure asks for interfaces.
func listed(ifaces ...platform.Interface) func(string) ([]platform.Interface, error) {
	return func(string) ([]platform.Interface, error) { return ifaces, nil }
}
