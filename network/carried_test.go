package network

import (
	"errors"
	"net"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
)

// Networks share an interface, and what the host has on it, where they have the same bridge; or without one the same
// master and mode.
func TestNetworksThatShareAnInterface(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		a, b   Network
		shared bool
	}{
		"one bridge":                     {Network{Master: "eth0", Bridge: "azure0"}, Network{Master: "eth0", Bridge: "azure0"}, true},
		"two bridges":                    {Network{Master: "eth0", Bridge: "azure0"}, Network{Master: "eth1", Bridge: "azure1"}, false},
		"without a bridge, one master":   {Network{Master: "eth0", Mode: ModeTransparent}, Network{Master: "eth0", Mode: ModeTransparent}, true},
		"without a bridge, two masters":  {Network{Master: "eth0", Mode: ModeTransparent}, Network{Master: "eth1", Mode: ModeTransparent}, false},
		"a bridge and none, one master":  {Network{Master: "eth0", Bridge: "azure0"}, Network{Master: "eth0", Mode: ModeTransparent}, false},
		"one that is announced only yet": {Network{Master: "eth0", Mode: ModeTransparent}, Network{Mode: ModeBridge}, false},
	} {
		s := State{Networks: map[string]*Network{"a": &test.a, "b": &test.b}}
		if got := len(s.CarriedWith(&test.a)) == 2; got != test.shared {
			t.Errorf("%s: shared is %t", name, got)
		}
	}
}

// A pod may ask for a MAC, but not for one that is somebody's.
func TestAMACThatIsSomebodys(t *testing.T) {
	t.Parallel()
	n := &Network{Name: "azure", Master: "eth0"}
	n.Endpoints.Set(&Endpoint{Owner: Owner{"azure", "c1", "eth0"}, State: Ready, MAC: "02:00:00:00:00:01"})
	s := State{Networks: map[string]*Network{"azure": n}}
	ifaces := []platform.Interface{{Name: "eth0", MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 1}}}
	for mac, free := range map[string]bool{
		"12:34:56:78:9a:bc": false, // the fabric's
		"00:0d:3a:00:00:01": false, // the host's
		"02:00:00:00:00:01": false, // another pod's
		"02:00:00:00:00:02": true,
	} {
		err := s.UsableMAC(n, &Endpoint{Owner: Owner{"azure", "c2", "eth0"}, MAC: mac}, ifaces)
		if free && err != nil || !free && !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", mac, err)
		}
	}
	if err := s.UsableMAC(n, &Endpoint{Owner: Owner{"azure", "c1", "eth0"}, MAC: "02:00:00:00:00:01"}, ifaces); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// In transparent mode there is no bridge: only rules for the master, which networks of that mode on it share.
func TestAModeWithoutABridge(t *testing.T) {
	t.Parallel()
	ifaces := []platform.Interface{{Index: 2, Name: "eth0", MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 1}, Up: true}}
	masters := func(string) ([]platform.Interface, error) { return ifaces, nil }
	n, err := (&State{}).Configure(Config{Mode: ModeTransparent, Master: "eth0", Bridge: "azure0"}, "azure", nil, masters)
	if err != nil || n.Bridge != "" {
		t.Fatalf("bridge %q, %v", n.Bridge, err)
	}
	former := Former{Master: "eth0"}
	for name, test := range map[string]struct {
		other  Network
		shared bool
	}{
		"the same mode":                 {Network{Master: "eth0", Mode: ModeTransparent}, true},
		"on another NIC":                {Network{Master: "eth1", Mode: ModeTransparent}, false},
		"a bridge":                      {Network{Master: "eth0", Mode: ModeBridge, Bridge: "azure0"}, false},
		"a bridge that has no name yet": {Network{Master: "eth0", Mode: ModeBridge}, false},
	} {
		s := State{Networks: map[string]*Network{"other": &test.other}}
		if got := s.Shares(former); got != test.shared {
			t.Errorf("%s: shared is %t", name, got)
		}
	}
}
