package platform

import "testing"

func TestAPortOfASwitchHasTheNameOfItsAdapter(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Ethernet 2": "Ethernet 2", "vEthernet (Ethernet 2)": "Ethernet 2", "vEthernet (Ethernet (2))": "Ethernet (2)",
		"vEthernet ()": "vEthernet ()", "vEthernet": "vEthernet", "vEthernet (Ethernet": "vEthernet (Ethernet", "": "",
	} {
		if got := AdapterName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
