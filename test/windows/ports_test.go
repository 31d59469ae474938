//go:build linux && wine

package windows

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/Azure/azure-container-networking/test/hnssim"
)

// policies are the settings of an endpoint's policies of one type.
func policies(t *testing.T, e hnssim.Endpoint, kind string) (list []string) {
	t.Helper()
	for _, p := range e.Policies {
		if p.Type == kind {
			list = append(list, string(p.Settings))
		}
	}
	return list
}

func port(hostPort, containerPort int, protocol, hostIP string) map[string]any {
	return map[string]any{"hostPort": hostPort, "containerPort": containerPort, "protocol": protocol, "hostIP": hostIP}
}

func withPorts(ports ...any) map[string]any {
	return map[string]any{"runtimeConfig": map[string]any{"portMappings": ports}}
}

func TestHostPorts(t *testing.T) {
	h := newHost(t, options{})
	h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(), h.conf(withPorts(
		port(8080, 80, "tcp", ""), port(8081, 81, "UDP", ""), port(8082, 82, "TCP", "10.240.0.4"), port(0, 83, "tcp", ""),
		port(8084, 84, "tcp", "0.0.0.0")))))
	want := []string{
		`{"Protocol":6,"InternalPort":80,"ExternalPort":8080,"Flags":1}`, `{"Protocol":17,"InternalPort":81,"ExternalPort":8081,"Flags":1}`,
		`{"Protocol":6,"InternalPort":82,"ExternalPort":8082,"VIP":"10.240.0.4","Flags":1}`,
		`{"Protocol":6,"InternalPort":84,"ExternalPort":8084,"Flags":1}`,
	}
	if got := policies(t, h.hns.Endpoints()[0], "PortMapping"); !slices.Equal(got, want) {
		t.Errorf("port mappings %v, want %v", got, want)
	}

	for i, ns := range []string{h.hns.AddNamespace(), "none"} { // HCN and v1
		pod := id(2 + i)
		h.hns.AddContainer(pod)
		h.wantError(h.call("ADD", pod, ns, h.conf(withPorts(port(8080, 80, "tcp", "")))), 11, "tcp/8080", "in use")
		h.wantError(h.call("ADD", pod, ns, h.conf(withPorts(port(9000, 80, "sctp", "")))), 7, "9000", "sctp", "portMappings")
		h.wantError(h.call("ADD", pod, ns, h.conf(withPorts(port(9000, 80, "tcp", "localhost")))), 7, "localhost")
		h.wantError(h.call("ADD", pod, ns, h.conf(map[string]any{"runtimeConfig": map[string]any{"portMappings": 7}})), 7, "portMappings")
		if n, r, e := len(h.hns.Endpoints()), h.reservations(), h.endpoints(); n != 1 || len(r) != 1 || len(e) != 1 {
			t.Errorf("refused pods left something: %d endpoints, %v, %v", n, r, e)
		}
	}
	h.wantError(h.call("ADD", id(3), "none", h.conf(withPorts(port(9000, 80, "tcp", "10.240.0.4")))), 7, "10.240.0.4")
	h.wantResult(h.call("ADD", id(3), "none", h.conf(withPorts(port(8080, 80, "udp", ""), port(0, 80, "tcp", "")))))
	if got := policies(t, h.hns.Endpoints()[1], "NAT"); len(got) != 1 {
		t.Errorf("port mappings of v1: %v", got)
	}
	h.wantSuccess(h.call("DEL", id(1), "", h.conf(nil)))
	h.wantSuccess(h.call("DEL", id(3), "none", h.conf(nil)))
	h.wantNothing()
	h.wantResult(h.call("ADD", id(4), h.hns.AddNamespace(), h.conf(withPorts(port(8080, 80, "tcp", ""))))) // the port is free again
}

func TestDNSOfPods(t *testing.T) {
	h := newHost(t, options{})
	both := map[string]any{"Nameservers": []string{"10.0.0.10", "168.63.129.16"}, "Search": []string{"svc.cluster.local", "cluster.local"},
		"Options": []string{"ndots:5"}}
	for name, c := range map[string]struct {
		conf map[string]any
		want hnssim.DNS
		code uint
	}{
		"from the conflist, the pod's namespace before the first suffix": {conf: map[string]any{"dns": both},
			want: hnssim.DNS{Search: []string{"default.svc.cluster.local", "cluster.local"}, ServerList: []string{"10.0.0.10", "168.63.129.16"},
				Options: []string{"ndots:5"}}},
		"from the runtime, in lower case": {conf: map[string]any{"dns": both,
			"runtimeConfig": map[string]any{"dns": map[string]any{"servers": []string{"10.0.0.11"}, "searches": []string{"a.b"},
				"options": []string{"ndots:2"}}}},
			want: hnssim.DNS{Search: []string{"a.b"}, ServerList: []string{"10.0.0.11"}, Options: []string{"ndots:2"}}},
		"from the runtime, in capitals, servers only": {conf: map[string]any{"dns": both,
			"runtimeConfig": map[string]any{"dns": map[string]any{"Servers": []string{"10.0.0.11"}, "Searches": nil, "Options": nil}}},
			want: hnssim.DNS{ServerList: []string{"10.0.0.11"}}},
		"from the runtime, suffixes only; the conflist's half does not " +
			"matter then": {conf: map[string]any{"dns": map[string]any{"nameservers": []string{"10.0.0.10"}},
			"runtimeConfig": map[string]any{"dns": map[string]any{"searches": []string{"a.b"}}}},
			want: hnssim.DNS{Search: []string{"a.b"}}},
		"none at all: the IPAM plugin's": {conf: map[string]any{"dns": nil,
			"runtimeConfig": map[string]any{"dns": map[string]any{"Servers": nil, "Searches": nil}}},
			want: hnssim.DNS{ServerList: []string{"168.63.129.16"}}},
		"half of it in the conflist": {conf: map[string]any{"dns": map[string]any{"nameservers": []string{"10.0.0.10"}}}, code: 7},
		"the other half of it":       {conf: map[string]any{"dns": map[string]any{"search": []string{"a.b"}}}, code: 7},
		"half, with options of the runtime": {conf: map[string]any{"dns": map[string]any{"search": []string{"a.b"}},
			"runtimeConfig": map[string]any{"dns": map[string]any{"options": []string{"x"}}}}, code: 7},
	} {
		t.Log(name)
		ns := h.hns.AddNamespace()
		r := h.call("ADD", id(1), ns, h.conf(c.conf))
		if c.code != 0 {
			h.wantError(r, c.code, "dns", "nameservers")
			h.wantNothing()
			h.wantSuccess(h.call("DEL", id(1), ns, h.conf(c.conf))) // it complains only when it matters
			continue
		}
		result := h.wantResult(r)
		got := h.hns.Endpoints()[0].Dns
		if !slices.Equal(got.Search, c.want.Search) || !slices.Equal(got.ServerList, c.want.ServerList) || !slices.Equal(got.Options,
			c.want.Options) {
			t.Errorf("DNS in HNS is %+v, want %+v", got, c.want)
		}
		if !slices.Equal(result.DNS.Nameservers, c.want.ServerList) || !slices.Equal(result.DNS.Search, c.want.Search) {
			t.Errorf("DNS of the result is %+v, want %+v", result.DNS, c.want)
		}
		h.wantSuccess(h.call("DEL", id(1), ns, h.conf(c.conf)))
	}
	h.wantNothing()
}

// go-cni writes the keys of both capabilities with capitals.
func TestCapabilitiesByContainerdsClient(t *testing.T) {
	h := newHost(t, options{})
	dir := t.TempDir()
	h.must(os.WriteFile(filepath.Join(dir, "10-azure.conflist"),
		h.json(map[string]any{"cniVersion": "1.0.0", "name": "azure", "plugins": []any{h.conf(nil)}}), 0o644))
	ns := h.hns.AddNamespace()
	flags := []string{"-pod", "web", "-ports", `[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp"}]`, "-dns",
		`{"Servers":["10.0.0.11"],"Searches":["a.b"]}`}
	_, err := h.goCNI(dir, append(flags, "setup", id(1), ns)...)
	h.must(err)
	e := h.hns.Endpoints()[0]
	if p := policies(t, e, "PortMapping"); len(p) != 1 || !slices.Equal(e.Dns.ServerList, []string{"10.0.0.11"}) ||
		!slices.Equal(e.Dns.Search, []string{"a.b"}) {
		t.Errorf("ports %v, DNS %+v", p, e.Dns)
	}
	_, err = h.goCNI(dir, append(flags, "check", id(1), ns)...)
	h.must(err)
	_, err = h.goCNI(dir, append(flags, "remove", id(1), ns)...)
	h.must(err)
	h.wantNothing()
}

func TestPoliciesOfTheConfiguration(t *testing.T) {
	h := newHost(t, options{})
	acl := map[string]any{"Type": "ACL", "Protocols": "17", "Action": "Block", "Direction": "In", "LocalPorts": "53", "Priority": 300}
	args := func(name string, value any) map[string]any {
		return map[string]any{"AdditionalArgs": []any{map[string]any{"Name": name, "Value": value}}}
	}
	count := func(conf map[string]any, ns string) int {
		t.Helper()
		h.hns.AddContainer(id(1))
		h.wantResult(h.call("ADD", id(1), ns, h.conf(conf)))
		n := len(policies(t, h.hns.Endpoints()[0], "ACL"))
		h.wantSuccess(h.call("DEL", id(1), ns, h.conf(conf)))
		return n
	}
	const ours = 4 // two ports closed, all else open in two directions
	for _, ns := range []string{h.hns.AddNamespace(), "none"} {
		open := args("EndpointPolicy", acl)
		if n := count(open, ns); n != 1+ours {
			t.Errorf("%d ACLs", n)
		}
		open["allowHostAgent"] = true
		if n := count(open, ns); n != 1 {
			t.Errorf("%d ACLs with allowHostAgent", n)
		}
		h.wantError(h.call("ADD", id(1), ns, h.conf(args("EndpointPolicy", map[string]any{"Type": "QOS"}))), 2, "QOS")
		h.wantError(h.call("ADD", id(1), ns, h.conf(args("PodPolicy", acl))), 7, "AdditionalArgs", "PodPolicy")
		for key, value := range map[string]any{"mode": "transparent", "ipsToRouteViaHost": []string{"10.0.0.0/16"}, "mtu": 1400} {
			h.wantError(h.call("ADD", id(1), ns, h.conf(map[string]any{key: value})), 2, key)
		}
		h.wantNothing()
	}
	h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(),
		h.conf(map[string]any{"AdditionalArgs": nil, "ipMasq": true, "vnetCidrs": "10.0.0.0/8"})))
	want := []string{`{"Exceptions":["10.240.0.0/16","10.0.0.0/8","168.63.129.16/32"]}`}
	if got := policies(t, h.hns.Endpoints()[0], "OutBoundNAT"); !slices.Equal(got, want) {
		t.Errorf("ipMasq makes %v", got)
	}
}
