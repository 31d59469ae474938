package platform

import "strings"

// AdapterName returns the name of the adapter that the host is connected by. When HNS has put an adapter "Ethernet 2"
// behind a virtual switch, its MAC and addresses are those of the switch's port of the host, "vEthernet (Ethernet 2)",
// and net shows only that. Both are the same to a configuration, and to a state that was written before.
func AdapterName(name string) string {
	if inner, ok := strings.CutPrefix(name, "vEthernet ("); ok && len(inner) > 1 && strings.HasSuffix(inner, ")") {
		return inner[:len(inner)-1]
	}
	return name
}
