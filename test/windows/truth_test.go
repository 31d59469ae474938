//go:build linux && wine

package windows

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/Azure/azure-container-networking/test/node"
)

// HNS is the source of truth: files are lost, reset by scripts, or left elsewhere, and HNS has what lives.

// added is the address that an ADD gives.
func (h *host) added(containerID, netns string, conf map[string]any) string {
	h.Helper()
	return h.wantResult(h.call("ADD", containerID, netns, conf)).IPs[0].Address.IP.String()
}

func (h *host) operator(args ...string) node.Reply {
	h.Helper()
	r, err := h.node.Operator(h.ctx, "azure-vnet", args...)
	h.must(err)
	return r
}

// The IDs that ctr and cnitool make begin with the same characters.
func TestContainersWhoseIDsBeginAlike(t *testing.T) {
	for _, ids := range [][]string{{"cnitool-77383ca0a0715733ca6f", "cnitool-1f2a9b7c0d3e4f5a6b7c"}, {"default-web1", "default-web2"}} {
		t.Run(ids[0], func(t *testing.T) {
			h := newHost(t, options{})
			conf := h.conf(nil)
			spaces := []string{h.hns.AddNamespace(), h.hns.AddNamespace()}
			for i, c := range ids {
				h.added(c, spaces[i], conf)
			}
			h.loseState("azure-vnet")
			h.wantSuccess(h.call("DEL", ids[1], spaces[1], conf))
			if left := h.hns.Endpoints(); len(left) != 1 || !strings.HasPrefix(left[0].Name, ids[0]) {
				t.Errorf("without a state, DEL of %s left %v", ids[1], left)
			}
			h.wantSuccess(h.call("DEL", ids[0], "", conf))
			if left := h.hns.Endpoints(); len(left) != 0 {
				t.Errorf("without a state, DEL of %s left %v", ids[0], left)
			}
		})
	}
}

// An endpoint that the classic plugin made, or an earlier version, has eight characters of the ID in its name.
func TestAnEndpointWithAFormerNameIsItsOwnersOnly(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	space, other := h.hns.AddNamespace(), h.hns.AddNamespace()
	h.added("default-web1", space, conf)
	h.hns.RenameEndpoint(h.hns.Endpoints()[0].ID, "default--eth0")
	h.loseState("azure-vnet")
	h.wantSuccess(h.call("DEL", "default-web2", other, conf))
	if len(h.hns.Endpoints()) != 1 {
		t.Fatal("DEL of another container of that name deleted it")
	}
	h.wantSuccess(h.call("DEL", "default-web1", space, conf))
	if left := h.hns.Endpoints(); len(left) != 0 {
		t.Errorf("its own DEL left %v", left)
	}
}

// cleanupnetwork.ps1 of aks-engine and AKS runs at each start of the kubelet. It does not know the mirrors.
func TestAResetByTheScriptsOfAKS(t *testing.T) {
	h := newHost(t, options{fabric: fabric.Default(1, 4)})
	conf := h.conf(nil)
	for i := range 4 {
		h.added(id(i+1), h.hns.AddNamespace(), conf)
	}
	h.hns.RemoveNetwork("azure")
	for _, file := range []string{"azure-vnet.json", "azure-vnet-ipam.json"} {
		h.must(os.Remove(h.path(`C:\k\` + file)))
	}
	for i := range 4 {
		h.added(id(i+11), h.hns.AddNamespace(), conf)
	}
	if held := h.reservations(); len(held) != 4 {
		t.Errorf("reserved are %v", held)
	}
}

// All files are lost, or are where the classic plugin has them under containerd, while pods live.
func TestLivingPodsKeepTheirAddressesWithoutAnyState(t *testing.T) {
	h := newHost(t, options{fabric: fabric.Default(1, 8)})
	conf := h.conf(nil)
	lives := map[string]string{}
	spaces := map[string]string{}
	for i := range 4 {
		spaces[id(i+1)] = h.hns.AddNamespace()
		lives[h.added(id(i+1), spaces[id(i+1)], conf)] = id(i + 1)
	}
	h.loseState("azure-vnet")
	h.loseState("azure-vnet-ipam")
	for i := range 4 {
		if a := h.added(id(i+11), h.hns.AddNamespace(), conf); lives[a] != "" {
			t.Errorf("%s is that of %s, which lives", a, lives[a])
		}
	}
	h.wantError(h.call("ADD", id(21), h.hns.AddNamespace(), conf), 100)
	// Their records are made again from what HNS has, and their DELs free the addresses.
	for container, space := range spaces {
		h.wantSuccess(h.call("DEL", container, space, conf))
	}
	h.added(id(22), h.hns.AddNamespace(), conf)
	if n := len(h.hns.Endpoints()); n != 5 {
		t.Errorf("HNS has %d endpoints", n)
	}
}

// Without cleanup, uninstalling would leave the network. Neither frees the address of a pod that lives.
func TestCleanupOfANetworkThatOnlyHNSKnows(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	h.must(os.MkdirAll(h.path(`C:\k\azurecni\netconf`), 0o755))
	h.must(os.WriteFile(h.path(`C:\k\azurecni\netconf\10-azure.conf`), h.json(conf), 0o644))
	for _, args := range [][]string{{"cleanup", "--yes"}, {"cleanup", "--yes", "--network", "azure"}} {
		h.added(id(1), h.hns.AddNamespace(), conf)
		h.loseState("azure-vnet")
		if r := h.operator("cleanup", "--dry-run"); r.Exit != 0 || !strings.Contains(string(r.Stdout), "Network azure goes") ||
			len(h.hns.Networks()) != 1 {
			t.Errorf("dry run: exit %d: %s%s", r.Exit, r.Stdout, r.Stderr)
		}
		r := h.operator(args...)
		if r.Exit != 0 || len(h.hns.Networks()) > 0 || len(h.hns.Endpoints()) > 0 || len(h.reservations()) > 0 {
			t.Errorf("%v: exit %d: %s%s; HNS has %v, reserved are %v", args, r.Exit, r.Stdout, r.Stderr, h.hns.Networks(), h.reservations())
		}
	}
	// Nor has it to be in any configuration of the node: its pods have our names.
	h.must(os.Remove(h.path(`C:\k\azurecni\netconf\10-azure.conf`)))
	h.added(id(1), h.hns.AddNamespace(), conf)
	h.loseState("azure-vnet")
	if r := h.operator("cleanup", "--yes"); r.Exit != 0 || len(h.hns.Networks()) > 0 || len(h.reservations()) > 0 {
		t.Errorf("without a configuration: exit %d: %s%s; HNS has %v, reserved are %v", r.Exit, r.Stdout, r.Stderr,
			h.hns.Networks(), h.reservations())
	}
	if r := h.operator("cleanup", "--yes", "--network", "made-up"); r.Exit == 0 {
		t.Errorf("a network that nobody knows: %s", r.Stdout)
	}
}

// azure-vnet.json as the classic plugin v1.4.59 writes it on Windows (it was run on Wine).
const classicState = `{"Network":{"Version":"v1.4.59","TimeStamp":"2026-11-28T14:24:12Z","ExternalInterfaces":{"%s":{"Name":"%[1]s","Networks":{"azure":{"Id":"azure","HnsId":"%[2]s","Mode":"bridge","VlanId":0,
"Subnets":[{"Family":2,"Prefix":{"IP":"10.240.0.0","Mask":"//8AAA=="},"Gateway":"10.240.0.1","PrimaryIP":""}],"Endpoints":{"%[3]s-eth0":{"Id":"%[3]s-eth0","HnsId":"%[4]s","SandboxKey":"%[5]s","IfName":"eth0","HostIfName":"","MacAddress":"ABVdUgAB",
"IPAddresses":[{"IP":"10.240.1.1","Mask":"//8AAA=="}],"Gateways":["10.240.0.1"],"Routes":[],"ContainerID":"","NetNs":"%[6]s"}}}},"Subnets":["10.240.0.0/16"],"BridgeName":"","DNSInfo":{},"MacAddress":"AA06AAAB","IPAddresses":null,"Routes":null,"IPv4Gateway":"","IPv6Gateway":""}}}}`

func TestTheClassicPluginsStateOfWindows(t *testing.T) {
	h := newHost(t, options{})
	space := h.hns.AddNamespace()
	conf := h.conf(nil)
	h.added(id(1), space, conf)
	e := h.hns.Endpoints()[0]
	h.hns.RenameEndpoint(e.ID, id(1)[:8]+"-eth0")
	h.loseState("azure-vnet")
	h.must(os.WriteFile(h.path(`C:\k\azure-vnet.json`),
		fmt.Appendf(nil, classicState, "eth0", e.HostComputeNetwork, id(1)[:8], e.ID, id(1), space), 0o600))
	h.added(id(2), h.hns.AddNamespace(), conf)
	if aside, _ := filepath.Glob(h.path(`C:\k\azure-vnet.json`) + ".corrupt-*"); len(aside) > 0 {
		t.Errorf("it is taken for a damaged file: %s", filepath.Base(aside[0]))
	}
	if len(h.endpoints()) != 2 {
		t.Errorf("the state has %v, and not the classic plugin's pod", h.endpoints())
	}
	h.wantSuccess(h.call("DEL", id(1), space, conf))
	if left, held := h.hns.Endpoints(), h.reservations(); len(left) != 1 || len(held) != 1 {
		t.Errorf("its DEL left %v, %v", left, held)
	}
}

func TestDELInANetworkInWhichTheContainerNeverWas(t *testing.T) {
	h := newHost(t, options{})
	space := h.hns.AddNamespace()
	h.added(id(1), space, h.conf(nil))
	h.wantSuccess(h.call("DEL", id(1), space, h.conf(map[string]any{"name": "other"})))
	if len(h.hns.Endpoints()) != 1 {
		t.Error("it deleted the endpoint of another network")
	}
}

// What Set-AzureCNIConfig writes where kube-proxy uses DSR, and where Windows' outbound NAT is disabled.
func TestLoopbackDSRReachesHNS(t *testing.T) {
	h := newHost(t, options{})
	last := func() string {
		docs := ""
		for _, c := range h.hns.Calls() {
			if c.Op == hnssim.Create && c.Kind == hnssim.KindEndpoint {
				docs = c.Body
			}
		}
		return docs
	}
	a := h.added(id(1), h.hns.AddNamespace(), h.conf(map[string]any{"windowsSettings": map[string]any{"enableLoopbackDSR": true}}))
	if doc := last(); !strings.Contains(doc, `"Destinations":["`+a+`"]`) {
		t.Errorf("enableLoopbackDSR has no effect: %s", doc)
	}
	args := []any{map[string]any{"Name": "EndpointPolicy", "Value": map[string]any{"Type": "LoopbackDSR", "IPAddress": "169.254.169.254"}}}
	h.added(id(2), h.hns.AddNamespace(), h.conf(map[string]any{"AdditionalArgs": args}))
	if doc := last(); !strings.Contains(doc, `"Destinations":["169.254.169.254"]`) {
		t.Errorf("the policy has no effect: %s", doc)
	}
	h.wantError(h.call("ADD", id(3), h.hns.AddNamespace(), h.conf(map[string]any{"windowsSettings": map[string]any{"enableWinDSR": true}})),
		2, "enableWinDSR")
	h.wantSuccess(h.call("DEL", id(3), h.hns.AddNamespace(), h.conf(map[string]any{"windowsSettings": map[string]any{"enableWinDSR": true}})))
}

// AKS's configuration has the ACLs that close the host agent's ports. The simulated HNS refuses one that is there twice.
func TestTheACLsOfAKSAreSentOnce(t *testing.T) {
	h := newHost(t, options{})
	var args []any
	for _, v := range []map[string]any{
		{"Protocols": "6", "Action": "Block", "Direction": "Out", "RemoteAddresses": "168.63.129.16/32", "RemotePorts": "80",
			"Priority": 200, "RuleType": "Switch"},
		{"Protocols": "6", "Action": "Block", "Direction": "Out", "RemoteAddresses": "168.63.129.16/32", "RemotePorts": "32526",
			"Priority": 200, "RuleType": "Switch"},
		{"Action": "Allow", "Direction": "In", "Priority": 65500},
		{"Action": "Allow", "Direction": "Out", "Priority": 65500},
	} {
		v["Type"] = "ACL"
		args = append(args, map[string]any{"Name": "EndpointPolicy", "Value": v})
	}
	h.added(id(1), h.hns.AddNamespace(), h.conf(map[string]any{"AdditionalArgs": args}))
	acls := 0
	for _, p := range h.hns.Endpoints()[0].Policies {
		if p.Type == "ACL" {
			acls++
		}
	}
	if acls != 4 {
		t.Errorf("%d ACLs", acls)
	}
}

// Set-AzureCNIConfig assigns to plugins.dns.Nameservers[0], plugins.dns.Search[0], and the first two AdditionalArgs.
func TestTheShippedConfigurationHasWhatAKSsScriptsAssign(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	dns, _ := conf["dns"].(map[string]any)
	for _, key := range []string{"Nameservers", "Search"} {
		list, _ := dns[key].([]any)
		if len(list) == 0 {
			t.Fatalf("there is no dns.%s[0]: PowerShell says: Cannot index into a null array", key)
		}
		list[0] = map[string]string{"Nameservers": "10.1.0.10", "Search": "svc.cluster.local"}[key]
	}
	args, _ := conf["AdditionalArgs"].([]any)
	if len(args) < 2 {
		t.Fatal("AdditionalArgs are not two")
	}
	for i, key := range []string{"ExceptionList", "DestinationPrefix"} {
		policy, _ := args[i].(map[string]any)["Value"].(map[string]any)
		if policy[key] == nil {
			t.Errorf("AdditionalArgs[%d] has no %s", i, key)
		}
	}
	h.added(id(1), h.hns.AddNamespace(), conf)
	if e := h.hns.Endpoints()[0]; len(e.Dns.ServerList) != 2 || e.Dns.ServerList[0] != "10.1.0.10" || len(e.Dns.Search) != 1 ||
		e.Dns.Search[0] != "default.svc.cluster.local" {
		t.Errorf("DNS %+v", e.Dns)
	}
}

// hcsshim asks for each endpoint of a list, and gives none if one has gone meanwhile.
func TestAnEndpointThatGoesWhileTheyAreListed(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	h.added(id(1), h.hns.AddNamespace(), conf)
	h.loseState("azure-vnet")
	h.hns.On(hnssim.Rule{Op: hnssim.Open, Kind: hnssim.KindEndpoint, Nth: 1, Code: hnssim.EndpointNotFound})
	h.wantSuccess(h.call("DEL", id(1), "", conf))
	if left := h.hns.Endpoints(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}
