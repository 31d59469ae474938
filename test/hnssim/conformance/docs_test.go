//go:build windows

package conformance

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/Microsoft/hcsshim"
	"github.com/Microsoft/hcsshim/hcn"
	"golang.org/x/sys/windows"
)

// The plugins' documents in both versions, as hcsshim sends them.

func TestV1(t *testing.T) {
	var network hcsshim.HNSNetwork
	read(t, `{"Name":"azure","Type":"l2bridge","NetworkAdapterName":"Ethernet 2","Subnets":[{"AddressPrefix":"10.240.0.0/16","GatewayAddress":"10.240.0.1"}],"DNSServerList":"10.0.0.10,168.63.129.16"}`, &network)
	n, err := network.Create()
	if err != nil {
		t.Fatal(err)
	}
	var endpoint hcsshim.HNSEndpoint
	read(t, `{"Name":"dee435e2-eth0","VirtualNetwork":"`+n.Id+
		`","Policies":[{"Type":"OutBoundNAT","ExceptionList":["10.240.0.0/16","10.0.0.0/8"]},{"Type":"ROUTE","DestinationPrefix":"10.0.0.0/8","NeedEncap":true},{"Type":"NAT","Protocol":"TCP","InternalPort":80,"ExternalPort":8080},{"Type":"ACL","Protocols":"6","Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePorts":"80","RuleType":"Switch","Priority":200}],"IPAddress":"10.240.0.5","DNSSuffix":"default.svc.cluster.local","DNSServerList":"10.0.0.10,168.63.129.16","PrefixLength":16}`, &endpoint)
	e, err := endpoint.Create()
	if err != nil {
		t.Fatal(err)
	}
	if e.GatewayAddress != "10.240.0.1" || e.MacAddress == "" || len(e.Policies) != 4 || e.DNSServerList != endpoint.DNSServerList {
		t.Errorf("the endpoint is %+v", e)
	}
	if err := hcsshim.HotAttachEndpoint("c0ffee", e.Id); err != nil {
		t.Error(err)
	}
	if attached, err := e.IsAttached("c0ffee"); err != nil || !attached {
		t.Error("not attached", err)
	}
	if err := hcsshim.HotDetachEndpoint("c0ffee", e.Id); err != nil {
		t.Error(err)
	}
	if err := hcsshim.HotAttachEndpoint("nobody", e.Id); !errors.Is(err, hcsshim.ErrComputeSystemDoesNotExist) {
		t.Error("attached to a container that is not there:", err)
	}
	if _, err := e.Delete(); err != nil {
		t.Error(err)
	}
	if _, err := hcsshim.GetHNSEndpointByID(e.Id); err == nil || !strings.Contains(err.Error(), "(0x803b0002)") {
		t.Error("an endpoint that is gone:", err)
	}
	if _, err := n.Delete(); err != nil {
		t.Error(err)
	}
}

func TestV2(t *testing.T) {
	var network hcn.HostComputeNetwork
	read(t, `{"Name":"azure","Type":"L2Bridge","Policies":[{"Type":"NetAdapterName","Settings":{"NetworkAdapterName":"Ethernet 2"}}],"MacPool":{},"Dns":{},"Ipams":[{"Type":"Static","Subnets":[{"IpAddressPrefix":"10.240.0.0/16","Routes":[{"NextHop":"10.240.0.1","DestinationPrefix":"0.0.0.0/0"}]}]}],"Flags":8,"Health":{"Extra":{}},"SchemaVersion":{"Major":2,"Minor":0}}`, &network)
	n, err := network.Create()
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := hcn.NewNamespace(hcn.NamespaceTypeHost).Create()
	if err != nil {
		t.Fatal(err)
	}
	var endpoint hcn.HostComputeEndpoint
	read(t, `{"Name":"dee435e2-eth0","HostComputeNetwork":"`+n.Id+
		`","Policies":[{"Type":"OutBoundNAT","Settings":{"Exceptions":["10.240.0.0/16","10.0.0.0/8"]}},{"Type":"SDNRoute","Settings":{"DestinationPrefix":"10.0.0.0/8","NeedEncap":true}},{"Type":"PortMapping","Settings":{"Protocol":6,"InternalPort":80,"ExternalPort":8080,"VIP":"10.240.0.4","Flags":1}},{"Type":"ACL","Settings":{"Protocols":"6","Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePorts":"80","RuleType":"Switch","Priority":200}}],"IpConfigurations":[{"IpAddress":"10.240.0.5","PrefixLength":16}],"Dns":{"Search":["default.svc.cluster.local","svc.cluster.local"],"ServerList":["10.0.0.10"],"Options":["ndots:5"]},"Routes":[{"NextHop":"10.240.0.1","DestinationPrefix":"0.0.0.0/0"}],"Health":{"Extra":{}},"SchemaVersion":{"Major":2,"Minor":0}}`, &endpoint)
	e, err := endpoint.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := hcn.AddNamespaceEndpoint(namespace.Id, e.Id); err != nil {
		t.Error(err)
	}
	if again, err := hcn.GetEndpointByID(e.Id); err != nil || !strings.EqualFold(again.HostComputeNamespace, namespace.Id) {
		t.Errorf("%v, %+v", err, again)
	}
	if err := hcn.RemoveNamespaceEndpoint(namespace.Id, e.Id); err != nil {
		t.Error(err)
	}
	if err := e.Delete(); err != nil {
		t.Error(err)
	}
	if err := e.Delete(); !hcn.CheckErrorWithCode(err, hcn.ErrorCode(windows.HCN_E_ENDPOINT_NOT_FOUND)) {
		t.Error("an endpoint that is gone:", err)
	}
	if err := n.Delete(); err != nil {
		t.Error(err)
	}
	if err := namespace.Delete(); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}
