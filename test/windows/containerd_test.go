//go:build linux && wine

package windows

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// containerd's client with the conflist as we ship it: not a byte of it is changed.
func TestContainerdsClientAndTheShippedConflist(t *testing.T) {
	h := newHost(t, options{})
	dir := t.TempDir()
	shipped, err := os.ReadFile("../../cni/conf/10-azure-windows.conflist")
	h.must(err)
	h.must(os.WriteFile(filepath.Join(dir, "10-azure.conflist"), shipped, 0o644))

	ns := h.hns.AddNamespace()
	out, err := h.goCNI(dir, "-pod", "web", "setup", id(1), ns)
	h.must(err)
	var result struct {
		Interfaces map[string]struct {
			IPConfigs    []struct{ IP, Gateway string }
			Mac, Sandbox string
		}
		DNS    []struct{ Nameservers []string }
		Routes []struct{ Dst, GW string }
	}
	h.must(json.Unmarshal(out, &result))
	eth0, ok := result.Interfaces["eth0"]
	if !ok || len(result.Interfaces) != 1 || len(eth0.IPConfigs) != 1 || eth0.IPConfigs[0].IP != "10.240.1.1" ||
		eth0.IPConfigs[0].Gateway != "10.240.0.1" || eth0.Sandbox != ns {
		t.Errorf("the result is %s", out)
	}
	if len(result.Routes) != 1 || result.Routes[0].Dst != "0.0.0.0/0" || result.Routes[0].GW != "10.240.0.1" || len(result.DNS) != 1 ||
		result.DNS[0].Nameservers[0] != "10.0.0.10" {
		t.Errorf("the result is %s", out)
	}
	h.wantDocument("Create", "Network", "network-v2.json", "Ethernet 2", "eth0")
	h.wantDocument("Create", "Endpoint", "shipped-endpoint-v2.json", "NETWORK-ID", upper(h.hns.Networks()[0].ID))
	e := h.hns.Endpoints()
	if len(e) != 1 || !strings.EqualFold(e[0].HostComputeNamespace, ns) {
		t.Errorf("endpoints: %+v, want one in namespace %s", e, ns)
	}

	_, err = h.goCNI(dir, "-pod", "web", "remove", id(1), ns)
	h.must(err)
	h.wantNothing()
	_, err = h.goCNI(dir, "-pod", "web", "remove", id(1), ns)
	h.must(err)
	for _, log := range []string{`C:\k\azure-vnet.log`, `C:\k\azure-vnet-ipam.log`} {
		if lines := h.lines(log); len(lines) != 3 { // ADD, DEL, DEL
			t.Errorf("%s has %d outcomes:\n%s", log, len(lines), strings.Join(lines, ""))
		}
	}
}

func TestContainerdsLifecycle(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{"type": "azure-vnet"})
	raw := h.json(map[string]any{"cniVersion": "1.0.0", "name": "azure", "plugins": []any{conf}})
	list, err := libcni.NetworkConfFromBytes(raw)
	h.must(err)
	ns := h.hns.AddNamespace()
	rt := &libcni.RuntimeConf{ContainerID: id(1), NetNS: ns, IfName: "eth0"}
	got, err := h.node.CNI().AddNetworkList(h.ctx, list, rt)
	h.must(err)
	result, err := types100.NewResultFromResult(got)
	h.must(err)
	a := address(t, result)
	if held := h.reservations()[a.Addr().String()]; held != id(1) {
		t.Errorf("%s is held by %q", a, held)
	}
	h.must(h.node.CNI().CheckNetworkList(h.ctx, list, rt))

	h.wantError(h.call("ADD", id(1), ns, conf), 103, id(1))
	h.wantError(h.call("ADD", id(2), "11111111-2222-3333-4444-555555555555", conf), 8, "11111111-2222-3333-4444-555555555555")
	h.wantError(h.call("STATUS", id(2), "", h.conf(map[string]any{"cniVersion": "1.1.0", "mode": "transparent"})), 50, "transparent")
	h.wantSuccess(h.call("STATUS", id(2), "", h.conf(map[string]any{"cniVersion": "1.1.0"})))
	h.must(h.node.CNI().CheckNetworkList(h.ctx, list, rt)) // the refused ones did it no harm

	h.must(h.node.CNI().DelNetworkList(h.ctx, list, rt))
	h.wantNothing()
	h.must(h.node.CNI().DelNetworkList(h.ctx, list, rt))
	h.wantNothing()
}

// A DEL in all the circumstances in which runtimes call it.
func TestDelWhateverIsLeft(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{"runtimeConfig": map[string]any{"portMappings": []any{map[string]any{"hostPort": 8080,
		"containerPort": 80, "protocol": "tcp"}}}})
	bare := h.conf(nil)
	for name, c := range map[string]struct {
		before func(ns string) // ADD has succeeded
		netns  func(ns string) string
	}{
		"the namespace is gone":                  {before: func(ns string) { h.hns.RemoveNamespace(ns) }},
		"the endpoint is gone":                   {before: func(string) { h.hns.RemoveEndpoint(h.hns.Endpoints()[0].ID) }},
		"CNI_NETNS is empty":                     {netns: func(string) string { return "" }},
		"the state is gone":                      {before: func(string) { h.loseState("azure-vnet") }},
		"the state is gone, CNI_NETNS is empty":  {before: func(string) { h.loseState("azure-vnet") }, netns: func(string) string { return "" }},
		"the state is gone, so is the namespace": {before: func(ns string) { h.loseState("azure-vnet"); h.hns.RemoveNamespace(ns) }},
	} {
		ns := h.hns.AddNamespace()
		h.wantResult(h.call("ADD", id(1), ns, conf))
		if c.before != nil {
			c.before(ns)
		}
		netns := ns
		if c.netns != nil {
			netns = c.netns(ns)
		}
		t.Log(name)
		// As a runtime that was restarted: without runtimeConfig and CNI_ARGS.
		for range 2 {
			h.wantSuccess(h.call("DEL", id(1), netns, bare, "CNI_ARGS="))
			h.wantNothing()
		}
	}
	h.wantSuccess(h.call("DEL", id(7), h.hns.AddNamespace(), h.conf(map[string]any{"name": "unknown"})))
}

// Of two containers whose IDs differ in the last character only, each has an endpoint of its own.
func TestDelOfAStrangerWithNearlyTheSameID(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	ns := h.hns.AddNamespace()
	h.wantResult(h.call("ADD", id(1), ns, conf))
	stranger := id(1)[:63] + "0"
	h.wantResult(h.call("ADD", stranger, h.hns.AddNamespace(), conf))
	h.wantSuccess(h.call("DEL", stranger, "", conf))
	if e := h.hns.Endpoints(); len(e) != 1 || !strings.EqualFold(e[0].HostComputeNamespace, ns) {
		t.Errorf("endpoints: %+v", e)
	}
}

func TestCheckNamesTheDifference(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	ns := h.hns.AddNamespace()
	var prev map[string]any
	h.must(json.Unmarshal(h.json(h.wantResult(h.call("ADD", id(1), ns, conf))), &prev))
	conf["prevResult"] = prev
	h.wantSuccess(h.call("CHECK", id(1), ns, conf))
	h.hns.RemoveNamespace(ns)
	h.wantError(h.call("CHECK", id(1), ns, conf), 104, id(1)+"-eth0-azure", "not attached")
	h.hns.RemoveEndpoint(h.hns.Endpoints()[0].ID)
	h.wantError(h.call("CHECK", id(1), ns, conf), 104, id(1)+"-eth0-azure")
}

func TestGCKeepsWhatIsListed(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{"cniVersion": "1.1.0"})
	for i := range 3 {
		h.wantResult(h.call("ADD", id(i), h.hns.AddNamespace(), conf))
	}
	conf["cni.dev/valid-attachments"] = []any{map[string]any{"containerID": id(1), "ifname": "eth0"}}
	h.wantSuccess(h.call("GC", "", "", conf))
	e := h.hns.Endpoints()
	if len(e) != 1 || e[0].Name != id(1)+"-eth0-azure" || len(h.endpoints()) != 1 || len(h.reservations()) != 1 {
		t.Errorf("endpoints %+v, state %v, addresses %v", e, h.endpoints(), h.reservations())
	}
}

func TestCleanupTakesTheNetworkAway(t *testing.T) {
	h := newHost(t, options{})
	ns := h.hns.AddNamespace()
	h.wantResult(h.call("ADD", id(1), ns, h.conf(nil)))
	h.wantSuccess(h.call("DEL", id(1), ns, h.conf(nil)))
	h.hns.On(hnssim.Rule{Op: hnssim.Enumerate, Kind: hnssim.KindNetwork, Code: hnssim.Timeout})
	h.wantError(h.call("ADD", id(1), ns, h.conf(nil)), 11) // which does not forget the network that is there
	h.hns.Forget()
	h.wantNothing()
	r, err := h.node.Operator(h.ctx, "azure-vnet", "cleanup", "--yes")
	h.must(err)
	h.wantExit0("cleanup", r)
	h.wantNothing()
	if n := h.hns.Networks(); len(n) > 0 {
		t.Errorf("networks: %+v", n)
	}
}

func TestTwoFamilies(t *testing.T) {
	h := newHost(t, options{fabric: dual()})
	conf := h.conf(map[string]any{"ipam": map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}})
	r := h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(), conf))
	if len(r.IPs) != 2 || r.IPs[1].Address.String() != "fd00::1:1/64" || r.IPs[1].Gateway.String() != "fd00::1" {
		t.Errorf("%+v", r)
	}
	e := h.hns.Endpoints()[0]
	if len(e.IpConfigurations) != 2 || e.IpConfigurations[1].IpAddress != "fd00::1:1" || len(e.Routes) != 2 ||
		e.Routes[1].NextHop != "fd00::1" {
		t.Errorf("%+v", e)
	}
	h.hns.AddContainer(id(2))
	h.wantError(h.call("ADD", id(2), "none", conf), 2, "IPv6")
	h.wantSuccess(h.call("DEL", id(2), "none", conf))
	h.wantSuccess(h.call("DEL", id(1), "", conf))
	h.wantNothing()
}

// loseState deletes a plugin's state with its mirror.
func (h *host) loseState(plugin string) {
	h.Helper()
	for _, file := range []string{plugin + ".json", plugin + ".json.bak"} {
		h.must(os.Remove(h.path(`C:\k\` + file)))
	}
}
