package hnssim

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"net"
	"strings"
	"testing"
)

// client asks a server as the DLLs do.
type client struct {
	testing.TB
	*Server
}

func newClient(t testing.TB, o Options) client {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(l, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return client{t, s}
}

// send asks, and returns the connection, from which the answer can be read.
func (c client) send(words ...string) net.Conn {
	c.Helper()
	conn, err := net.Dial("tcp4", strings.TrimPrefix(c.Env(), Address+"="))
	if err != nil {
		c.Fatal(err)
	}
	w := bufio.NewWriter(conn)
	for _, word := range words {
		writeString(w, &word)
	}
	if err := w.Flush(); err != nil {
		c.Fatal(err)
	}
	return conn
}

// receive reads an answer: the HRESULT, and the first of output, result and ID that is not NULL.
func (c client) receive(conn net.Conn) (code uint32, text string) {
	c.Helper()
	defer conn.Close()
	r := bufio.NewReader(conn)
	if err := binary.Read(r, binary.LittleEndian, &code); err != nil {
		c.Fatal(err)
	}
	for range 3 {
		var n int32
		if err := binary.Read(r, binary.LittleEndian, &n); err != nil {
			c.Fatal(err)
		}
		if n < 0 {
			continue
		}
		b := make([]byte, n)
		if _, err := r.Read(b); err != nil {
			c.Fatal(err)
		}
		if text == "" {
			text = string(b)
		}
	}
	return code, text
}

func (c client) call(op, kind, id, body string) (code uint32, text string) {
	c.Helper()
	return c.receive(c.send(op, kind, id, body))
}

// must expects success.
func (c client) must(op, kind, id, body string) string {
	c.Helper()
	code, text := c.call(op, kind, id, body)
	if code != 0 {
		c.Fatalf("%s %s %s: %s", op, kind, body, text)
	}
	return text
}

// v1 asks HNSCall, and returns the code of the failure: its own, or that in its response.
func (c client) v1(method, path, body string) (code uint32, output string) {
	c.Helper()
	var r struct {
		Success   bool
		ErrorCode uint32
		Output    json.RawMessage
	}
	code, text := c.call("HNSCall", method, path, body)
	if code != 0 {
		return code, ""
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Success != (r.ErrorCode == 0) {
		c.Fatalf("%s %s: %v, %+v", method, path, err, r)
	}
	return r.ErrorCode, string(r.Output)
}

const everything = `{"SchemaVersion":{"Major":2,"Minor":0},"Flags":0}`

const (
	networkV2    = `{"Name":"azure","Type":"L2Bridge","Policies":[{"Type":"NetAdapterName","Settings":{"NetworkAdapterName":"Ethernet 2"}}],"MacPool":{},"Dns":{},"Ipams":[{"Type":"Static","Subnets":[{"IpAddressPrefix":"10.240.0.0/16","Routes":[{"NextHop":"10.240.0.1","DestinationPrefix":"0.0.0.0/0"}]}]}],"Flags":8,"Health":{"Extra":{}},"SchemaVersion":{"Major":2,"Minor":0}}`
	networkV1Doc = `{"Name":"azure","Type":"l2bridge","NetworkAdapterName":"Ethernet 2","Subnets":[{"AddressPrefix":"10.240.0.0/16","GatewayAddress":"10.240.0.1"}],"DNSServerList":"10.0.0.10,168.63.129.16"}`
)

// endpointV2 is an endpoint of the network networkV2, which got this ID.
func endpointV2(network string) string {
	return `{"Name":"dee435e2-eth0","HostComputeNetwork":"` + network +
		`","Policies":[{"Type":"OutBoundNAT","Settings":{"Exceptions":["10.240.0.0/16"]}},{"Type":"PortMapping","Settings":{"Protocol":6,"InternalPort":80,"ExternalPort":8080}},{"Type":"ACL","Settings":{"Protocols":"6","Action":"Block","Direction":"Out","RemoteAddresses":"168.63.129.16/32","RemotePorts":"80","RuleType":"Switch","Priority":200}}],"IpConfigurations":[{"IpAddress":"10.240.0.5","PrefixLength":16}],"Dns":{"Search":["a.b"],"ServerList":["10.0.0.10"],"Options":["ndots:5"]},"Routes":[{"NextHop":"10.240.0.1","DestinationPrefix":"0.0.0.0/0"}],"Health":{"Extra":{}},"SchemaVersion":{"Major":2,"Minor":0}}`
}

// endpointV1Doc is the same for v1.
func endpointV1Doc(network string) string {
	return `{"Name":"dee435e2-eth0","VirtualNetwork":"` + network +
		`","Policies":[{"Type":"OutBoundNAT","ExceptionList":["10.240.0.0/16"]},{"Type":"ROUTE","DestinationPrefix":"10.0.0.0/8","NeedEncap":true},{"Type":"NAT","Protocol":"TCP","InternalPort":80,"ExternalPort":8080}],"IPAddress":"10.240.0.5","DNSSuffix":"a.b","DNSServerList":"10.0.0.10","PrefixLength":16}`
}

// another is an endpoint that gets in nobody's way.
func another(network string) string {
	return edit(endpointV2(network), `"dee435e2-eth0"`, `"other"`, `"10.240.0.5"`, `"10.240.0.6"`,
		`"ExternalPort":8080`, `"ExternalPort":8081`)
}

// edit replaces texts, each of which must be there.
func edit(doc string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(doc, pairs[i]) {
			panic(pairs[i] + " is not in the document")
		}
		doc = strings.ReplaceAll(doc, pairs[i], pairs[i+1])
	}
	return doc
}
