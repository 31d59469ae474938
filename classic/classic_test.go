package classic

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each version has something of its own: the name of the interface is in the record, or in that of the endpoint; a mask can be missing.
func TestNetworksAreRead(t *testing.T) {
	t.Parallel()
	list, err := Networks([]byte(`{"Network":{"ExternalInterfaces":{"eth1":{"BridgeName":"azure1","Networks":{"b":{"Mode":"bridge"}}},
		"eth0":{"BridgeName":"azure0","Networks":{"a":{"Mode":"tunnel","Subnets":[{"Prefix":{"IP":"10.240.0.9","Mask":"//8AAA=="}},{}],
		"Endpoints":{"0123abcd-eth0":{"ContainerID":"0123abcd99","IfName":"azv1","HostIfName":"azv1","MacAddress":"Ljpj8yjm",
		"IPAddresses":[{"IP":"10.240.0.34","Mask":"//8AAA=="},{"IP":"fd00::34"}],"Routes":[{"Dst":{"IP":"0.0.0.0","Mask":"AAAAAA=="},"Gw":"10.240.0.1"},{}]},
		"x":{"ContainerID":"4567","IfName":"net1"}}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(list[0].Endpoints, func(a, b Endpoint) int { return strings.Compare(a.ContainerID, b.ContainerID) })
	var text strings.Builder
	for _, n := range list {
		fmt.Fprintln(&text, n.Name, n.Mode, n.Master, n.Bridge, n.Subnets)
		for _, e := range n.Endpoints {
			fmt.Fprintln(&text, e.ContainerID, e.IfName, e.HostIfName, e.MAC, e.Addresses, e.Routes)
		}
	}
	const want = `a tunnel eth0 azure0 [10.240.0.0/16]
0123abcd99 eth0 azv1 2e:3a:63:f3:28:e6 [10.240.0.34/16 invalid Prefix] [{0.0.0.0/0 10.240.0.1}]
4567 net1   [] []
b bridge eth1 azure1 []
`
	if text.String() != want {
		t.Errorf("read as\n%s", &text)
	}
	if a := list[0].Endpoints[0].Addresses[1]; a.IsValid() || a.Addr().String() != "fd00::34" {
		t.Errorf("an address whose mask is none is %v, %v", a, a.Addr())
	}
}

func TestPoolsAreReadInOrder(t *testing.T) {
	t.Parallel()
	list, err := Pools([]byte(`{"IPAM":{"AddressSpaces":{"local":{"Pools":{"10.241.0.0/16":{"IfName":"eth1"},
		"10.240.0.0/16":{"IfName":"eth0","Addresses":{"10.240.0.5":{"Addr":"10.240.0.5","InUse":true,"ID":"c1"},"10.240.0.4":{}}}}}}}}`))
	const want = "[{10.240.0.0/16 eth0 [{10.240.0.4  false} {10.240.0.5 c1 true}]} {10.241.0.0/16 eth1 []}]"
	if got := fmt.Sprint(list); err != nil || got != want {
		t.Errorf("read as %s, %v", got, err)
	}
}

// A state of ours says "taken over" where the classic plugin looks for its own.
func TestWhatIsNotTheClassicPluginsIsNotRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `[]`, `{}`, `{"Network":"taken over","IPAM":"taken over","data":{}}`,
		`{"Network":{},"IPAM":{}}`, "\x00\x00"} {
		if list, err := Networks([]byte(text)); err == nil {
			t.Errorf("networks of %q: %v", text, list)
		}
		if list, err := Pools([]byte(text)); err == nil {
			t.Errorf("pools of %q: %v", text, list)
		}
	}
}
