package platform

import "strings"

// AdapterName returns the name of the adapter that the host is connected by. When HNS has put an adapter "Ethernet 2"
// behind a virtual switch, its MAC and addresses are those of the switch's port of the host, "vEthernet (Ethernet 2)",
// and net shows only that. Both are the same to a configuration, and to a state that was written before.
func AdapterName(name string) string {
	const port = "vEthernet ("
	if n := len(port); len(name) > n+1 && strings.EqualFold(name[:n], port) && strings.HasSuffix(name, ")") {
		return name[n : len(name)-1]
	}
	return name
}

// SameAdapter says whether two names are one adapter's. Windows does not tell capitals from small letters.
func SameAdapter(a, b string) bool { return strings.EqualFold(AdapterName(a), AdapterName(b)) }
