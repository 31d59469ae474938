package linux

import (
	"testing"

	"github.com/Azure/azure-container-networking/network"
)

// The manager compares what it knew with what a call has seen, so a call must not change what it knew.
func TestACallLeavesTheNetworkAsItWas(t *testing.T) {
	t.Parallel()
	n := &network.Network{Observed: network.Observed{Sysctls: map[string]string{"net/ipv4/ip_forward": "0"}}}
	v := viewOf(n)
	v.Remember(map[string]string{"net/ipv4/conf/eth0/src_valid_mark": "0"})
	v.MTU, v.Imported = 9000, true
	if len(n.Sysctls) != 1 || n.MTU != 0 || n.Imported {
		t.Errorf("the network became %+v", n.Observed)
	}
}
