package platform

import "testing"

func TestAPortOfASwitchHasTheNameOfItsAdapter(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Ethernet 2": "Ethernet 2", "vEthernet (Ethernet 2)": "Ethernet 2", "vEthernet (Ethernet (2))": "Ethernet (2)",
		"vEthernet ()": "vEthernet ()", "vEthernet": "vEthernet", "vEthernet (Ethernet": "vEthernet (Ethernet", "": "",
		"VETHERNET (ethernet 2)": "ethernet 2", "vEthernet (": "vEthernet (",
	} {
		if got := AdapterName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestCapitalsOfAnAdaptersNameDoNotMatter(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{{"Ethernet 2", "ETHERNET 2"}, {"vEthernet (Ethernet)", "ethernet"},
		{"VEthernet (Ethernet)", "vEthernet (ETHERNET)"}} {
		if !SameAdapter(same[0], same[1]) {
			t.Errorf("%q and %q are two", same[0], same[1])
		}
	}
	if SameAdapter("Ethernet", "Ethernet 2") {
		t.Error("two adapters are one")
	}
}
