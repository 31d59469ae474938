//go:build linux && wine

package windows

import (
	"slices"
	"testing"

	"github.com/Azure/azure-container-networking/install/selftest"
	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/google/go-cmp/cmp"
)

// As kubelet did it with Docker: by hand, with CNI_* variables and the old versions of the protocol.
func TestDockersWay(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{
		"cniVersion": "0.3.0", "dns": map[string]any{"Nameservers": []string{"10.0.0.10", "168.63.129.16"},
			"Search": []string{"svc.cluster.local"}},
	})
	sandbox, workload, second := id(1), id(2), id(3)
	for _, c := range []string{sandbox, workload, second} {
		h.hns.AddContainer(c)
	}
	first := h.call("ADD", sandbox, "none", conf)
	a := address(t, h.wantResult(first))
	h.wantDocument("Create", "Network", "network-v1.json", "Ethernet 2", "eth0")
	attached := func(want ...string) {
		t.Helper()
		e := h.hns.Endpoints()
		if len(e) != 1 || !slices.Equal(e[0].Containers(), want) {
			t.Errorf("endpoints: %+v, want one attached to %v", e, want)
		}
		if r := h.reservations(); len(r) != 1 || r[a.Addr().String()] != sandbox {
			t.Errorf("addresses: %v, want %s of the sandbox alone", r, a)
		}
	}
	attached(sandbox)

	again := h.call("ADD", sandbox, "none", conf)
	if diff := cmp.Diff(string(first.Stdout), string(again.Stdout)); diff != "" {
		t.Errorf("the sandbox's ADD once more has another result: %s", diff)
	}
	attached(sandbox)

	for _, c := range []string{workload, second, workload} {
		r := h.wantResult(h.call("ADD", c, "container:"+sandbox, conf))
		if b := address(t, r); b != a || r.IPs[0].Gateway.String() != "10.240.0.1" || !slices.Equal(r.DNS.Search,
			[]string{"default.svc.cluster.local"}) {
			t.Errorf("the result of a container of the pod is %+v", r)
		}
	}
	attached(sandbox, workload, second)

	h.wantSuccess(h.call("DEL", workload, "container:"+sandbox, conf))
	attached(sandbox, second)
	h.wantSuccess(h.call("DEL", workload, "container:"+sandbox, conf))
	attached(sandbox, second)
	h.hns.RemoveContainer(second) // Docker was faster
	h.wantSuccess(h.call("DEL", second, "container:"+sandbox, conf))
	attached(sandbox)

	for range 2 {
		h.wantSuccess(h.call("DEL", sandbox, "none", conf))
		h.wantNothing()
	}
	h.wantSuccess(h.call("DEL", workload, "container:"+sandbox, conf)) // after its sandbox
	h.wantError(h.call("ADD", workload, "container:"+sandbox, conf), 8, sandbox)
	h.wantNothing()
}

func TestDockersEndpointIsTheDocumentedOne(t *testing.T) {
	h := newHost(t, options{})
	h.hns.AddContainer(id(1))
	h.wantResult(h.call("ADD", id(1), "none", h.conf(nil)))
	h.wantDocument("Create", "Endpoint", "shipped-endpoint-v1.json", "NETWORK-ID", upper(h.hns.Networks()[0].ID))
}

// HNS outlives the state: what it knows is enough for the containers of a pod.
func TestDockersWayWithoutState(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{"dns": map[string]any{"nameservers": []string{"10.0.0.10"}, "search": []string{"svc.cluster.local"}}})
	h.hns.AddContainer(id(1))
	h.hns.AddContainer(id(2))
	first := h.call("ADD", id(1), "none", conf)
	h.wantResult(first)
	h.loseState("azure-vnet")
	if again := h.call("ADD", id(1), "none", conf); string(again.Stdout) != string(first.Stdout) {
		t.Errorf("%s\nwas\n%s", again.Stdout, first.Stdout)
	}
	if a, b := address(t, h.wantResult(h.call("ADD", id(2), "container:"+id(1), conf))), address(t, h.wantResult(first)); a != b {
		t.Errorf("%v and %v", a, b)
	}
	h.wantSuccess(h.call("DEL", id(2), "container:"+id(1), conf))
	if e := h.hns.Endpoints(); len(e) != 1 || !slices.Equal(e[0].Containers(), []string{id(1)}) {
		t.Errorf("%+v", e)
	}
	h.wantSuccess(h.call("DEL", id(1), "none", conf))
	h.wantNothing()
}

// A container that is not there: nothing may be left of its sandbox's ADD.
func TestDockersSandboxThatDoesNotRun(t *testing.T) {
	h := newHost(t, options{})
	h.wantError(h.call("ADD", id(1), "none", h.conf(nil)), 11, id(1))
	h.wantNothing()
}

// Before Windows Server 2019 v1 answered by a response with words, and no HRESULT.
func TestAnOlderWindowsAnswersInWords(t *testing.T) {
	facts := hnssim.Facts()
	for c, words := range map[selftest.Case]string{
		selftest.MissingNetwork: "The network was not found. ", selftest.MissingEndpoint: "The endpoint was not found. ",
		selftest.PortTaken: "The specified port already exists. ", selftest.MissingAdapter: "The network adapter was not found. ",
		selftest.AddressTaken: "Unspecified error ",
	} {
		facts.Answers[c] = selftest.Answers{V1: &selftest.Answer{Error: words}, V2: facts.Answers[c].V2}
	}
	h := newHost(t, options{hns: hnssim.Options{Facts: facts, Version: hnssim.Version{Major: 7, Minor: 2}}})
	for n := range 3 {
		h.hns.AddContainer(id(n))
	}
	h.wantError(h.call("ADD", id(0), "none", h.conf(map[string]any{"adapterName": "Ethernet 7"})), 102, "Ethernet 7")
	conf := h.conf(withPorts(port(8080, 80, "tcp", "")))
	h.wantResult(h.call("ADD", id(1), "none", conf))
	h.wantError(h.call("ADD", id(2), "none", conf), 11, "tcp/8080", "in use")
	h.hns.RemoveEndpoint(h.hns.Endpoints()[0].ID)
	h.wantSuccess(h.call("DEL", id(1), "none", conf))
	h.hns.RemoveNetwork("azure")
	h.wantSuccess(h.call("DEL", id(1), "none", conf))
	h.wantNothing()
}
