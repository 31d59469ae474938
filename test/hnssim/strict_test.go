package hnssim

import (
	"testing"
)

// What a plugin could get wrong, and nobody but the simulator would notice.

func TestNetworksThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edits []string
		code  uint32
	}{
		"right":                                {nil, 0},
		"no JSON":                              {[]string{networkV2, "{"}, InvalidJSON},
		"two documents":                        {[]string{networkV2, networkV2 + "{}"}, InvalidJSON},
		"an unknown field":                     {[]string{`"Flags":8`, `"Flags":8,"Flag":1`}, InvalidJSON},
		"an unknown field further in":          {[]string{`"Type":"Static"`, `"Type":"Static","Kind":1`}, InvalidJSON},
		"a wrong type":                         {[]string{`"Flags":8`, `"Flags":"8"`}, InvalidJSON},
		"a schema of the future":               {[]string{`"Major":2`, `"Major":3`}, InvalidJSON},
		"no name":                              {[]string{`"Name":"azure",`, ``}, InvalidNetwork},
		"an unknown type of network":           {[]string{`L2Bridge`, `L3Bridge`}, InvalidType},
		"an unknown type of policy":            {[]string{`"NetAdapterName"`, `"NetworkAdapter"`}, InvalidPolicyType},
		"a policy with a setting too many":     {[]string{`"NetworkAdapterName":`, `"Adapter":1,"NetworkAdapterName":`}, InvalidPolicy},
		"a policy without its setting":         {[]string{`"NetworkAdapterName":"Ethernet 2"`, ``}, InvalidPolicy},
		"an adapter that is not there":         {[]string{`Ethernet 2`, `Ethernet 3`}, AdapterNotFound},
		"an adapter of a virtual switch":       {[]string{`Ethernet 2`, `vEthernet (Ethernet 2)`}, AdapterNotFound},
		"a subnet that is none":                {[]string{`10.240.0.0/16`, `10.240.0.0`}, InvalidIP},
		"a subnet with bits of a host":         {[]string{`10.240.0.0/16`, `10.240.0.9/16`}, InvalidIP},
		"a gateway of somewhere else":          {[]string{`10.240.0.1`, `10.241.0.1`}, InvalidIP},
		"no default route":                     {[]string{`0.0.0.0/0`, `10.0.0.0/8`}, InvalidNetwork},
		"a default route of the other family":  {[]string{`0.0.0.0/0`, `::/0`}, InvalidIP},
		"no subnet":                            {[]string{`"Subnets":[{"IpAddressPrefix":"10.240.0.0/16","Routes":[{"NextHop":"10.240.0.1","DestinationPrefix":"0.0.0.0/0"}]}]`, `"Subnets":[]`}, InvalidNetwork},
		"an unknown way to give out addresses": {[]string{`"Static"`, `"Dynamic"`}, InvalidNetwork},
		"a DNS server that is no address":      {[]string{`"Dns":{}`, `"Dns":{"ServerList":["dns"]}`}, InvalidIP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Options{Adapters: []string{"Ethernet", "Ethernet 2", "vEthernet (Ethernet 2)"}})
			if code, text := c.call(Create, KindNetwork, "", edit(networkV2, test.edits...)); code != test.code {
				t.Errorf("0x%08X %s, want 0x%08X", code, text, test.code)
			}
			if there := len(c.Networks()); there == 1 != (test.code == 0) {
				t.Errorf("%d networks", there)
			}
		})
	}
}

func TestEndpointsThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edits []string // of the endpoint, beside which another one is
		code  uint32
	}{
		"right":                        {nil, 0},
		"an unknown field":             {[]string{`"Health":`, `"Helth":1,"Health":`}, InvalidJSON},
		"no name":                      {[]string{`"Name":"dee435e2-eth0",`, ``}, InvalidEndpoint},
		"a name that is there":         {[]string{`dee435e2-eth0`, `other`}, InvalidEndpoint},
		"a namespace":                  {[]string{`"Health":`, `"HostComputeNamespace":"x","Health":`}, InvalidEndpoint},
		"an address that is none":      {[]string{`10.240.0.5`, `10.240.0.`}, InvalidIP},
		"an address of somewhere else": {[]string{`10.240.0.5`, `10.241.0.5`}, InvalidIP},
		"an address in use":            {[]string{`10.240.0.5`, `10.240.0.6`}, AddressReserved},
		"the gateway's address":        {[]string{`"IpAddress":"10.240.0.5"`, `"IpAddress":"10.240.0.1"`}, AddressReserved},
		"the subnet's address":         {[]string{`10.240.0.5`, `10.240.0.0`}, AddressReserved},
		"another prefix length":        {[]string{`"PrefixLength":16`, `"PrefixLength":24`}, InvalidIP},
		"no prefix length":             {[]string{`,"PrefixLength":16`, ``}, InvalidIP},
		"a route to somewhere else":    {[]string{`"NextHop":"10.240.0.1"`, `"NextHop":"10.241.0.1"`}, InvalidIP},
		"a route by 0.0.0.0":           {[]string{`"NextHop":"10.240.0.1"`, `"NextHop":"0.0.0.0"`}, InvalidIP},
		"an address of the other family": {[]string{`"IpAddress":"10.240.0.5","PrefixLength":16`, `"IpAddress":"fd00::5","PrefixLength":64`},
			InvalidIP},
		"a MAC that is there":            {[]string{`"Health":`, `"MacAddress":"00-15-5d-52-00-01","Health":`}, InvalidEndpoint},
		"a route without a next hop":     {[]string{`"NextHop":"10.240.0.1",`, ``}, InvalidIP},
		"a DNS server that is none":      {[]string{`["10.0.0.10"]`, `["10.0.0"]`}, InvalidIP},
		"an empty DNS suffix":            {[]string{`["a.b"]`, `[""]`}, InvalidJSON},
		"a policy of v1":                 {[]string{`"OutBoundNAT"`, `"ROUTE"`}, InvalidPolicyType},
		"a policy's setting of v1":       {[]string{`"Exceptions"`, `"ExceptionList"`}, InvalidPolicy},
		"a flat policy":                  {[]string{`"Settings":{"Exceptions":["10.240.0.0/16"]}`, `"Exceptions":[]`}, InvalidJSON},
		"an exception that is no prefix": {[]string{`"Exceptions":["10.240.0.0/16"]`, `"Exceptions":["x"]`}, InvalidPolicy},
		"a host port in use":             {[]string{`8080`, `8081`}, PortExists},
		"the same port, other protocol":  {[]string{`8080`, `8081`, `"Protocol":6`, `"Protocol":17`}, 0},
		"the same port of one address":   {[]string{`8080`, `8081,"VIP":"10.240.0.4"`}, PortExists},
		"the same port of IPv6":          {[]string{`8080`, `8081,"Flags":2`}, 0},
		"no host port":                   {[]string{`,"ExternalPort":8080`, ``}, InvalidPolicy},
		"a protocol by name":             {[]string{`"Protocol":6`, `"Protocol":"TCP"`}, InvalidPolicy},
		"a protocol that has no ports":   {[]string{`"Protocol":6`, `"Protocol":1`}, InvalidPolicy},
		"an action that is none":         {[]string{`"Block"`, `"Drop"`}, InvalidPolicy},
		"a direction that is none":       {[]string{`"Out"`, `"out"`}, InvalidPolicy},
		"ports that are none":            {[]string{`"RemotePorts":"80"`, `"RemotePorts":"http"`}, InvalidPolicy},
		"a range of ports":               {[]string{`"RemotePorts":"80"`, `"RemotePorts":"80,90-99"`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Options{})
			network := c.must(Create, KindNetwork, "", networkV2)
			c.must(Create, KindEndpoint, network, another(network))
			if code, text := c.call(Create, KindEndpoint, network, edit(endpointV2(network), test.edits...)); code != test.code {
				t.Errorf("0x%08X %s, want 0x%08X", code, text, test.code)
			}
			if there := len(c.Endpoints()); there == 2 != (test.code == 0) {
				t.Errorf("%d endpoints", there)
			}
		})
	}
}

func TestV1IsAsStrict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		network, endpoint []string // edits
		networkCode, code uint32
	}{
		"right":                        {},
		"an unknown field":             {network: []string{`"Type":`, `"Typ":1,"Type":`}, networkCode: InvalidJSON},
		"an adapter of a switch":       {network: []string{`Ethernet 2`, `vEthernet (Ethernet 2)`}, networkCode: AdapterNotFound},
		"no gateway":                   {network: []string{`,"GatewayAddress":"10.240.0.1"`, ``}, networkCode: InvalidIP},
		"an unknown field of endpoint": {endpoint: []string{`"IPAddress":`, `"IP":1,"IPAddress":`}, code: InvalidJSON},
		"a policy of v2":               {endpoint: []string{`"Type":"NAT"`, `"Type":"PortMapping"`}, code: InvalidPolicyType},
		"a nested policy":              {endpoint: []string{`"ExceptionList":["10.240.0.0/16"]`, `"Settings":{}`}, code: InvalidPolicy},
		"a policy without a type":      {endpoint: []string{`"Type":"NAT",`, ``}, code: InvalidPolicy},
		"a number for a protocol":      {endpoint: []string{`"TCP"`, `6`}, code: InvalidPolicy},
		"a route that leads nowhere":   {endpoint: []string{`10.0.0.0/8`, `10.0.0`}, code: InvalidPolicy},
		"an address of elsewhere":      {endpoint: []string{`10.240.0.5`, `10.241.0.5`}, code: InvalidIP},
		"a state":                      {endpoint: []string{`"Name":`, `"State":1,"Name":`}, code: InvalidEndpoint},
		"no such network":              {endpoint: []string{`"VirtualNetwork":"`, `"VirtualNetwork":"0`}, code: NetworkNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Options{})
			code, _ := c.v1("POST", "/networks/", edit(networkV1Doc, test.network...))
			if code != test.networkCode {
				t.Fatalf("network: 0x%08X, want 0x%08X", code, test.networkCode)
			}
			if code != 0 {
				return
			}
			if code, _ = c.v1("POST", "/endpoints/", edit(endpointV1Doc(c.Networks()[0].ID), test.endpoint...)); code != test.code {
				t.Errorf("endpoint: 0x%08X, want 0x%08X", code, test.code)
			}
		})
	}
}

func TestTheSecondOfAKindIsRefused(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	network := c.must(Create, KindNetwork, "", networkV2)
	if code, _ := c.call(Create, KindNetwork, "", networkV2); code != NetworkExists {
		t.Errorf("the network again: 0x%08X", code)
	}
	if code, _ := c.v1("POST", "/networks/", networkV1Doc); code != NetworkExists {
		t.Errorf("the network again, v1: 0x%08X", code)
	}
	if code, _ := c.call(Create, KindEndpoint, c.AddNamespace(), endpointV2(network)); code != InvalidEndpoint {
		t.Errorf("the document and the handle disagree: 0x%08X", code)
	}
	if code, _ := c.call(Enumerate, KindNetwork, "",
		`{"SchemaVersion":{"Major":2,"Minor":0},"Filter":"{\"Type\":\"NAT\"}"}`); code != InvalidJSON {
		t.Errorf("an unknown filter: 0x%08X", code)
	}
	if code, _ := c.v1("GET", "/policylists/", ""); code != Unsupported {
		t.Errorf("an unknown path: 0x%08X", code)
	}
}

func TestOldWindowsHasNoHCN(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{Version: Version{7, 2}})
	if code, _ := c.call(Enumerate, KindNetwork, "", everything); code != eNotImpl {
		t.Errorf("0x%08X", code)
	}
	if code, _ := c.v1("POST", "/networks/", networkV1Doc); code != 0 {
		t.Errorf("0x%08X", code)
	}
	if _, output := c.v1("GET", "/globals/version", ""); output != `{"Major":7,"Minor":2,"Version":{"Major":7,"Minor":2}}` {
		t.Error(output)
	}
}
