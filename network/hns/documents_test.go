package hns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
)

// The documents in testdata/hns are those of docs/windows.md, written down by hand.

func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func raws(texts ...string) (out []json.RawMessage) {
	for _, s := range texts {
		out = append(out, json.RawMessage(s))
	}
	return out
}

// documented is the network and the endpoint of windows.md; what differs in v1 and v2 is the test's.
func documented() (*network.Network, *network.Endpoint) {
	n := &network.Network{
		Name: "azure", Mode: network.ModeBridge, Prefixes: prefixList("10.240.0.0/16"), Settings: network.Settings{AllowHostAgent: true},
		HNS: &network.HNSConfig{Adapter: "Ethernet 2", DNSServers: []string{"10.0.0.10", "168.63.129.16"},
			Gateways: []netip.Addr{netip.MustParseAddr("10.240.0.1")}},
	}
	e := &network.Endpoint{
		Owner: owner("azure", "dee435e2b1c9", "eth0"), Addresses: prefixList("10.240.0.5/16"),
		Routes: []network.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("10.240.0.1")}},
		HNS: &network.HNSEndpoint{
			Ports: []network.PortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}},
			Policies: raws(
				`{"Type":"OutBoundNAT","ExceptionList":["10.240.0.0/16","10.0.0.0/8"]}`,
				`{"Type":"ROUTE","DestinationPrefix":"10.0.0.0/8","NeedEncap":true}`),
		},
	}
	return n, e
}

// lastACL is what windows.md has behind the port, wherever the configuration has it.
const lastACL = `{"Type":"ACL","Protocols":"6","Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePorts":"80","RuleType":"Switch","Priority":200}`

func mapping(hostPort, containerPort int, protocol, hostIP string) network.PortMapping {
	return network.PortMapping{HostPort: hostPort, ContainerPort: containerPort, Protocol: protocol, HostIP: hostIP}
}

func owner(name, containerID, ifName string) network.Owner {
	return network.Owner{Network: name, ContainerID: containerID, IfName: ifName}
}

func prefixList(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func wantDoc(t *testing.T, file string, doc []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if want := golden(t, file); string(doc) != want {
		t.Errorf("\n%s\nis not %s\n%s", doc, file, want)
	}
}

func TestNetworkDocumentsAreTheDocumentedOnes(t *testing.T) {
	n, _ := documented()
	doc, err := networkV1(n)
	wantDoc(t, "network-v1.json", doc, err)
	doc, err = networkV2(n)
	wantDoc(t, "network-v2.json", doc, err)
}

// The documents have one ACL, the configuration's. Ours are off.
func TestEndpointDocumentsAreTheDocumentedOnes(t *testing.T) {
	n, e := documented()
	e.HNS.Policies = append(raws(lastACL), e.HNS.Policies...)
	e.HNS.DNS = network.PodDNS{Servers: []string{"10.0.0.10", "168.63.129.16"}, Search: []string{"default.svc.cluster.local"}}
	doc, err := endpointV1("NETWORK-ID", n, e)
	wantDoc(t, "endpoint-v1.json", doc, err)

	e.HNS.Ports[0].HostIP = "10.240.0.4"
	e.HNS.DNS = network.PodDNS{Servers: []string{"10.0.0.10"}, Search: []string{"default.svc.cluster.local", "svc.cluster.local"},
		Options: []string{"ndots:5"}}
	doc, err = endpointV2("NETWORK-ID", n, e)
	wantDoc(t, "endpoint-v2.json", doc, err)
}

func TestDocumentsOfTheShippedConfiguration(t *testing.T) {
	n, e := documented()
	n.AllowHostAgent = false
	e.Owner.ContainerID, e.Addresses, e.HNS.Ports = fmt.Sprintf("%08x%056x", 1, 0xc0ffee), prefixList("10.240.1.1/16"), nil
	e.HNS.DNS = network.PodDNS{Servers: []string{"10.0.0.10", "168.63.129.16"}, Search: []string{"default.svc.cluster.local"}}
	doc, err := endpointV1("NETWORK-ID", n, e)
	wantDoc(t, "shipped-endpoint-v1.json", doc, err)
	doc, err = endpointV2("NETWORK-ID", n, e)
	wantDoc(t, "shipped-endpoint-v2.json", doc, err)
}

func TestDualStackIsOfHCNOnly(t *testing.T) {
	n, e := documented()
	n.Mode, n.HNS.Adapter = network.ModeTunnel, "vEthernet (Ethernet 2)" // behind a switch already: no name is sent
	n.Prefixes, e.Addresses = prefixList("10.240.0.0/16", "fd00::/64"), prefixList("10.240.0.5/16", "fd00::5/64")
	e.Routes = append(e.Routes, network.Route{Dst: netip.MustParsePrefix("::/0"), GW: netip.MustParseAddr("fd00::1")})
	e.HNS.Policies, e.HNS.Ports = nil, append(e.HNS.Ports, mapping(5353, 53, "UDP", "fd00::4"))
	doc, err := networkV2(n)
	wantDoc(t, "dual-network-v2.json", doc, err)
	doc, err = endpointV2("NETWORK-ID", n, e)
	wantDoc(t, "dual-endpoint-v2.json", doc, err)

	if _, err := networkV1(n); !errors.Is(err, network.ErrUnsupported) {
		t.Errorf("network of v1: %v", err)
	}
	if _, err := endpointV1("NETWORK-ID", n, e); !errors.Is(err, network.ErrUnsupported) {
		t.Errorf("endpoint of v1: %v", err)
	}
}

func TestHostAgentIsClosedOnBothPorts(t *testing.T) {
	var blocked []string
	for _, p := range hostAgentPolicies(&network.Network{}) {
		if p.Action == "Block" {
			blocked = append(blocked, p.Direction+" "+p.Protocols+" "+p.RemoteAddresses+" "+p.RemotePorts)
		}
	}
	if got, want := strings.Join(blocked, "; "), "Out 6 168.63.129.16/32 80; Out 6 168.63.129.16/32 32526"; got != want {
		t.Errorf("blocked is %s, want %s", got, want)
	}
	if list := hostAgentPolicies(&network.Network{Settings: network.Settings{AllowHostAgent: true}}); list != nil {
		t.Errorf("with allowHostAgent: %v", list)
	}
}

func TestMasqueradingIsOutBoundNATWithTheVNETAsException(t *testing.T) {
	n, e := documented()
	n.Settings = network.Settings{AllowHostAgent: true, IPMasq: true, VnetCIDRs: prefixList("10.0.0.0/8", "10.240.0.0/16", "fd00::/48")}
	own, _, err := flatPolicies(n, e)
	if err != nil || len(own) != 2 {
		t.Errorf("the configuration's own OutBoundNAT: %v, %s", err, own)
	}
	e.HNS.Policies = nil
	ours, _, err := flatPolicies(n, e)
	const want = `{"Type":"OutBoundNAT","ExceptionList":["10.240.0.0/16","10.0.0.0/8","168.63.129.16/32"]}`
	if err != nil || len(ours) != 1 || string(ours[0]) != want {
		t.Errorf("%v, %s, want %s", err, ours, want)
	}
	n.VnetCIDRs = prefixList("10.240.0.0/12", "10.240.0.0/16")
	if got := masquerading(n).ExceptionList; !slices.Equal(got, []string{"10.240.0.0/12", "168.63.129.16/32"}) {
		t.Errorf("of two with one base address: %v", got)
	}
}

// What acs-engine's and AKS's scripts write into a configuration.
func TestLoopbackDSRIsATranslationToItself(t *testing.T) {
	n, e := documented()
	n.Settings = network.Settings{AllowHostAgent: true, IPMasq: true}
	e.Addresses = prefixList("10.240.0.5/16", "fd00::5/64")
	for policy, want := range map[string]string{
		`{"Type":"LoopbackDSR"}`:                               `{"Type":"OutBoundNAT","Destinations":["10.240.0.5","fd00::5"]}`,
		`{"Type":"LoopbackDSR","IPAddress":"169.254.169.254"}`: `{"Type":"OutBoundNAT","Destinations":["169.254.169.254"]}`,
		`{"Type":"OutBoundNAT","Destinations":["10.240.0.5"]}`: `{"Type":"OutBoundNAT","Destinations":["10.240.0.5"]}`, // as win-bridge has it
	} {
		e.HNS.Policies = raws(policy)
		list, _, err := flatPolicies(n, e)
		if err != nil || len(list) != 2 || string(list[0]) != want {
			t.Errorf("%s: %v, %s, want %s", policy, err, list, want)
		}
		// It translates nothing else, so what ipMasq wants is there as well.
		if !strings.Contains(string(list[1]), "ExceptionList") {
			t.Errorf("%s: no translation of what leaves the VNET: %s", policy, list)
		}
	}
}

// AKS's configuration has the ACLs that close the host agent's ports already.
func TestAnACLOfTheConfigurationIsNotSentTwice(t *testing.T) {
	n, e := documented()
	n.AllowHostAgent = false
	block := func(port, rule string) string {
		return `{"Type":"ACL","Protocols":"6","Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePorts":"` + port +
			`","Priority":200` + rule + `}`
	}
	const rule = `,"RuleType":"Switch"`
	allow := []string{`{"Type":"ACL","Action":"Allow","Direction":"In","Priority":65500}`,
		`{"Type":"ACL","Action":"Allow","Direction":"Out","Priority":65500` + rule + `}`}
	for name, c := range map[string]struct {
		own  []string
		want int
	}{
		"none":                               {nil, 4},
		"all":                                {append([]string{block("80", rule), block("32526", rule)}, allow...), 4},
		"one by its older name":              {[]string{`{"Type":"ACL","Protocol":6,"Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePort":80,"Priority":200` + rule + `}`}, 4},
		"of another port":                    {[]string{block("443", rule)}, 5},
		"one that the host would enforce":    {[]string{block("80", `,"RuleType":"Host"`)}, 5},
		"one that says not where it applies": {[]string{block("80", "")}, 5},
		"an allowance that is the host's own": {[]string{`{"Type":"ACL","Action":"Allow","Direction":"In","Priority":65500,"RuleType":"Host"}`},
			5},
	} {
		e.HNS.Policies = raws(c.own...)
		if _, acls, err := flatPolicies(n, e); err != nil || len(acls) != c.want {
			t.Errorf("%s: %v, %d instead of %d: %s", name, err, len(acls), c.want, acls)
		}
	}
}

func TestPortMappings(t *testing.T) {
	four, both := prefixList("10.240.0.5/16"), prefixList("10.240.0.5/16", "fd00::5/64")
	for _, c := range []struct {
		name   string
		m      network.PortMapping
		pod    []netip.Prefix
		v1, v2 string // what is sent; "error: text"
	}{
		{"tcp", mapping(8080, 80, "tcp", ""), four, `{"Type":"NAT","Protocol":"TCP","InternalPort":80,"ExternalPort":8080}`, `6 80 8080  1`},
		{"the protocol in any case", mapping(53, 53, "UdP", ""), four, `{"Type":"NAT","Protocol":"UDP","InternalPort":53,"ExternalPort":53}`,
			`17 53 53  1`},
		{"no host port", mapping(0, 80, "tcp", ""), four, ``, ``},
		{"no host port, and an unknown protocol", mapping(-1, 80, "sctp", ""), four, ``, ``},
		{"unknown protocol", mapping(8080, 80, "sctp", ""), four, `error: "sctp"`, `error: "sctp"`},
		{"no protocol", mapping(8080, 80, "", ""), four, `error: ""`, `error: ""`},
		{"port too large", mapping(65536, 80, "tcp", ""), four, `error: 65536`, `error: 65536`},
		{"no port of the pod", mapping(8080, 0, "tcp", ""), four, `error: port 0`, `error: port 0`},
		{"address of the host", mapping(8080, 80, "tcp", "10.240.0.4"), four, `error: 10.240.0.4`, `6 80 8080 10.240.0.4 1`},
		{"no address", mapping(8080, 80, "tcp", "localhost"), four, `error: localhost`, `error: localhost`},
		{"wildcard", mapping(8080, 80, "tcp", "0.0.0.0"), four, `{"Type":"NAT","Protocol":"TCP","InternalPort":80,"ExternalPort":8080}`,
			`6 80 8080  1`},
		{"wildcard of IPv6", mapping(8080, 80, "tcp", "::"), four, `{"Type":"NAT","Protocol":"TCP","InternalPort":80,"ExternalPort":8080}`,
			`error: ::`},
		{"both families", mapping(8080, 80, "tcp", ""), both, ``, `6 80 8080  1; 6 80 8080  2`},
		{"both families, wildcard of IPv4", mapping(8080, 80, "tcp", "0.0.0.0"), both, ``, `6 80 8080  1`},
		{"both families, wildcard of IPv6", mapping(8080, 80, "tcp", "::"), both, ``, `6 80 8080  2`},
		{"both families, address of the host", mapping(8080, 80, "tcp", "fd00::4"), both, ``, `6 80 8080 fd00::4 2`},
		{"IPv6 address and a pod without", mapping(8080, 80, "tcp", "fd00::4"), four, `error: fd00::4`, `error: fd00::4`},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(got string, err error, want string) {
				t.Helper()
				text, fails := strings.CutPrefix(want, "error: ")
				switch {
				case fails && (!errors.Is(err, network.ErrPorts) || !strings.Contains(err.Error(), text)):
					t.Errorf("error %v, want one about %s", err, text)
				case !fails && (err != nil || got != want):
					t.Errorf("%v, %s, want %s", err, got, want)
				}
			}
			if len(c.pod) == 1 {
				var texts []string
				out, err := portsV1([]network.PortMapping{c.m})
				for _, raw := range out {
					texts = append(texts, string(raw))
				}
				check(strings.Join(texts, "; "), err, c.v1)
			}
			var texts []string
			out, err := portsV2([]network.PortMapping{c.m}, c.pod)
			for _, p := range out {
				s, ok := p.Settings.(portMappingV2)
				if !ok || p.Type != "PortMapping" {
					t.Fatalf("%+v", p)
				}
				b, _ := json.Marshal([]any{s.Protocol, s.InternalPort, s.ExternalPort, s.VIP, s.Flags})
				texts = append(texts, strings.NewReplacer(`[`, ``, `]`, ``, `,`, ` `, `"`, ``).Replace(string(b)))
			}
			check(strings.Join(texts, "; "), err, c.v2)
		})
	}
}

func TestPoliciesOfTheConfigurationAreConverted(t *testing.T) {
	for _, c := range []struct{ flat, v2 string }{
		{`{"Type":"OutBoundNAT","VIP":"10.0.0.1","ExceptionList":["10.0.0.0/8"],"Destinations":["1.2.3.4"],"MaxPortPoolUsage":7}`,
			`{"Type":"OutBoundNAT","Settings":{"VirtualIP":"10.0.0.1","Exceptions":["10.0.0.0/8"],"Destinations":["1.2.3.4"],"MaxPortPoolUsage":7}}`},
		{`{"Type":"ROUTE","DestinationPrefix":"10.0.0.0/8","NextHop":"10.240.0.1"}`,
			`{"Type":"SDNRoute","Settings":{"DestinationPrefix":"10.0.0.0/8","NextHop":"10.240.0.1"}}`},
		{lastACL, `{"Type":"ACL","Settings":{"Protocols":"6","Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePorts":"80","RuleType":"Switch","Priority":200}}`},
		{`{"Type":"ACL","Protocol":17,"Action":"Allow","Direction":"In","LocalPort":53,"RemotePort":1024,"Priority":1}`,
			`{"Type":"ACL","Settings":{"Protocols":"17","Action":"Allow","Direction":"In","LocalPorts":"53","RemotePorts":"1024","Priority":1}}`},
		{`{"Type":"L4WFPPROXY","OutboundProxyPort":"15001","UserSID":"S-1-5-32-556","FilterTuple":{"Protocols":"6","Priority":1},"OutboundExceptions":{"PortExceptions":["15000"]}}`,
			`{"Type":"L4WFPPROXY","Settings":{"OutboundProxyPort":"15001","FilterTuple":{"Protocols":"6","Priority":1},"UserSID":"S-1-5-32-556","OutboundExceptions":{"PortExceptions":["15000"]}}}`},
		{`{"Type":"QOS"}`, `error: "QOS"`},
		{`{"Type":"LoopbackDSR","IPAddress":"web"}`, `error: "web"`},
		{`{"Type":"ROUTE","DestinationPrefix":"10.0.0.0/8","Metric":7}`, `error: Metric`},
		{`"ROUTE"`, `error: "ROUTE"`},
	} {
		got, err := convert(raws(c.flat))
		if text, fails := strings.CutPrefix(c.v2, "error: "); fails {
			if !errors.Is(err, network.ErrUnsupported) || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %v, want one about %s", c.flat, err, text)
			}
			continue
		}
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v", c.flat, err)
		}
		if b, _ := json.Marshal(got[0]); string(b) != c.v2 {
			t.Errorf("%s becomes %s, want %s", c.flat, b, c.v2)
		}
	}
}

func TestNetworkPoliciesOfTheConfiguration(t *testing.T) {
	n, _ := documented()
	n.HNS.Policies = raws(`{"Type":"SourceMacAddress","SourceMacAddress":"00-0D-3A-00-00-01"}`)
	doc, err := networkV2(n)
	if err != nil || !strings.Contains(string(doc), `,{"Type":"SourceMacAddress","Settings":{"SourceMacAddress":"00-0D-3A-00-00-01"}}]`) {
		t.Errorf("%v: %s", err, doc)
	}
	doc, err = networkV1(n)
	if err != nil || !strings.Contains(string(doc), `"Policies":[{"Type":"SourceMacAddress","SourceMacAddress":"00-0D-3A-00-00-01"}]`) {
		t.Errorf("%v: %s", err, doc)
	}
	for _, bad := range []string{`{"Type":"VLAN","VLAN":7}`, `{"VLAN":7}`, `7`} {
		n.HNS.Policies = raws(bad)
		if _, err := networkV2(n); !errors.Is(err, network.ErrUnsupported) || !strings.Contains(err.Error(), "NetworkPolicy") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestTransparentModeIsOfLinuxOnly(t *testing.T) {
	n, _ := documented()
	n.Mode = network.ModeTransparent
	for name, write := range map[string]func(*network.Network) ([]byte, error){"v1": networkV1, "v2": networkV2} {
		if _, err := write(n); !errors.Is(err, network.ErrUnsupported) || !strings.Contains(err.Error(), "transparent") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
