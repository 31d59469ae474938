//go:build linux

package fabric

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
)

// ask queries the host agent from inside a namespace.
func ask(t *testing.T, n *Namespace) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}
	url := "http://" + HostAgent.String() + ipamtest.Path + "?" + ipamtest.Query
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	requireNoError(t, err)
	resp, err := transport.RoundTrip(req)
	requireNoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	requireNoError(t, err)
	return resp.StatusCode, string(body)
}

func TestHostAgentTellsEachVMItsOwnAddresses(t *testing.T) {
	t.Parallel()
	f := Start(t, DefaultDual(2, 300))
	for i, vm := range f.VMs {
		status, body := ask(t, vm.Ns)
		if want := ipamtest.Document(agentInterfaces(vm.Config)); status != http.StatusOK || body != want {
			t.Errorf("%s got status %d and\n%s,\nwant %s", vm.Config.Name, status, body, want)
		}
		if got := vm.Agent.Queries(); got != 1 {
			t.Errorf("%s: agent counted %d queries", vm.Config.Name, got)
		}
		vm.Agent.SetFault(ipamtest.Fault{Status: 500 + i})
		if status, _ = ask(t, vm.Ns); status != 500+i {
			t.Errorf("%s: status %d despite the fault", vm.Config.Name, status)
		}
	}
	if status, _ := ask(t, f.Ns()); status != http.StatusForbidden {
		t.Errorf("a stranger got status %d", status)
	}
}

func TestDNSKnowsTheTestDomain(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(1, 1))
	for _, network := range []string{"udp", "tcp"} {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return f.VMs[0].Ns.Dial(ctx, network, agentAddress(DNSPort))
		}}
		got, err := resolver.LookupHost(t.Context(), "Web-0.test.")
		if err != nil || len(got) != 1 || got[0] != TestRecord.String() {
			t.Errorf("%s: web-0.test is %v, %v", network, got, err)
		}
		_, err = resolver.LookupHost(t.Context(), "web-0.example.")
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("%s: web-0.example: got %v, want not found", network, err)
		}
	}
}

func TestMachinePortAnswers(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(1, 1))
	conn, err := f.VMs[0].Ns.Dial(t.Context(), "tcp", agentAddress(MachinePort))
	requireNoError(t, err)
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || len(got) != 1 {
		t.Errorf("read %q, %v", got, err)
	}
}
