//go:build linux && wine

package windows

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/Azure/azure-container-networking/test/node"
)

// adapterSent is the adapter that HNS was told when the network was made.
func (h *host) adapterSent() string {
	h.Helper()
	for _, c := range h.hns.Calls() {
		if c.Op != hnssim.Create || c.Kind != hnssim.KindNetwork {
			continue
		}
		var doc struct {
			Policies []struct {
				Settings struct{ NetworkAdapterName string }
			}
		}
		h.must(json.Unmarshal([]byte(c.Body), &doc))
		if len(doc.Policies) > 0 {
			return doc.Policies[0].Settings.NetworkAdapterName
		}
		return ""
	}
	h.Fatal("no network was made")
	return ""
}

// twoNICs is a VM whose second NIC has the pods' addresses of another subnet.
func twoNICs() fabric.Config {
	cfg := fabric.Default(1, 5)
	second := fabric.Default(2, 5).VMs[1].NICs[0]
	second.Name, second.Primary = "eth1", false
	cfg.VMs[0].NICs = append(cfg.VMs[0].NICs, second)
	return cfg
}

func TestAdapters(t *testing.T) {
	for name, c := range map[string]struct {
		fabric  fabric.Config
		conf    map[string]any
		adapter string
		address string
		code    uint
	}{
		"found by the MAC that the host agent lists": {adapter: "eth0", address: "10.240.1.1"},
		"named": {conf: map[string]any{"master": "eth0"}, adapter: "eth0", address: "10.240.1.1"},
		"two NICs: the secondary one comes first": {fabric: twoNICs(), adapter: "eth1", address: "10.240.2.1"},
		"two NICs: the named one": {fabric: twoNICs(), conf: map[string]any{"master": "eth0"},
			adapter: "eth0", address: "10.240.1.1"},
		"adapterName wins over the master": {fabric: twoNICs(), conf: map[string]any{"master": "eth0", "adapterName": "eth1"},
			adapter: "eth1", address: "10.240.1.1"},
		"adapterName of what is behind a switch: no name": {conf: map[string]any{"adapterName": "vEthernet (Ethernet)"},
			adapter: "", address: "10.240.1.1"},
		"named in capitals": {conf: map[string]any{"master": "ETH0", "adapterName": "ETH0"},
			adapter: "eth0", address: "10.240.1.1"},
		"a master that is not there":        {conf: map[string]any{"master": "Ethernet 7"}, code: 102},
		"an adapter that HNS does not know": {conf: map[string]any{"adapterName": "Ethernet 7"}, code: 102},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, options{fabric: c.fabric, hns: hnssim.Options{Adapters: []string{"eth0", "eth1"}}})
			ns := h.hns.AddNamespace()
			r := h.call("ADD", id(1), ns, h.conf(c.conf))
			if c.code != 0 {
				h.wantError(r, c.code, "Ethernet 7")
				h.wantSuccess(h.call("DEL", id(1), ns, h.conf(c.conf)))
				h.wantNothing()
				return
			}
			if a := address(t, h.wantResult(r)); a.Addr().String() != c.address {
				t.Errorf("address %v, want %s", a, c.address)
			}
			if got := h.adapterSent(); got != c.adapter {
				t.Errorf("HNS was told adapter %q, want %q", got, c.adapter)
			}
		})
	}
}

// Whoever put it there: an address that an adapter of the host has is given to no pod.
func TestAddressesOfTheHostAreNotGiven(t *testing.T) {
	h := newHost(t, options{fabric: fabric.Default(1, 2)})
	if out, err := h.vm.Ns.Command(h.ctx, "ip", "addr", "add", "10.240.1.1/16", "dev", "eth0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if a := address(t, h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(), h.conf(nil)))); a.Addr().String() != "10.240.1.2" {
		t.Errorf("address %v", a)
	}
	h.wantError(h.call("ADD", id(2), h.hns.AddNamespace(), h.conf(nil)), 100, "1 on the host's eth0")
}

func TestAzureStackAndTheFilesBelowCK(t *testing.T) {
	h := newHost(t, options{})
	const file = `{"Interfaces":[{"MacAddress":"00-0D-3A-00-00-01","IsPrimary":true,"IPSubnets":[{"Prefix":"10.240.0.0/16","IPAddresses":[{"Address":"10.240.0.4","IsPrimary":true},{"Address":"10.240.9.9","IsPrimary":false}]}]}]}`
	h.must(os.WriteFile(h.path(`C:\k\interfaces.json`), []byte(file), 0o644))
	conf := h.conf(map[string]any{"ipam": map[string]any{"type": "azure-vnet-ipam", "environment": "mas"}})
	if a := address(t, h.wantResult(h.call("ADD", id(1), h.hns.AddNamespace(), conf))); a.String() != "10.240.9.9/16" {
		t.Errorf("address %v", a)
	}
	for _, f := range []string{"azure-vnet.json", "azure-vnet-ipam.json", "azure-vnet.log", "azure-vnet-ipam.log"} {
		if _, err := os.Stat(h.path(`C:\k\` + f)); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(h.path(`C:\k\azure-vnet.log`)); err != nil || strings.Contains(string(b), "hcn::") {
		t.Errorf("%v; hcsshim writes into our log: %s", err, b)
	}
}

// Containers, namespaces, networks that are not persistent: all gone. The boot time moved.
func TestReboot(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(nil)
	for i := range 3 {
		h.wantResult(h.call("ADD", id(i), h.hns.AddNamespace(), conf))
	}
	h.shutDown()
	h.hns.Reboot()
	h.boot()
	if n := h.hns.Networks(); len(n) > 0 {
		t.Fatalf("the simulator kept %+v", n)
	}
	h.hns.Forget()
	h.wantResult(h.call("ADD", id(7), h.hns.AddNamespace(), conf))
	const want = "HCN Create Network\nHCN Create Endpoint\nHCN Modify Namespace\n"
	if got := h.hns.Changes(); got != want {
		t.Errorf("the first ADD did\n%s, want\n%s", got, want)
	}
	if e, r := h.endpoints(), h.reservations(); len(e) != 1 || e[id(7)] != "ready" || len(r) != 1 {
		t.Errorf("state %v, addresses %v: of the new pod only", e, r)
	}
	h.wantSuccess(h.call("DEL", id(1), "", conf)) // kubelet cleans up what was before
	h.wantSuccess(h.call("DEL", id(7), "", conf))
	h.wantNothing()
}

// Networks of v1 outlive a reboot, and so do their endpoints, which then stand in the way of the pods that get their
// addresses.
func TestRebootOfDockersNode(t *testing.T) {
	h := newHost(t, options{fabric: fabric.Default(1, 3)})
	conf := h.conf(nil)
	pods := func(from int) {
		t.Helper()
		for i := range 3 { // all addresses that there are
			h.hns.AddContainer(id(from + i))
			h.wantResult(h.call("ADD", id(from+i), "none", conf))
		}
	}
	pods(1)
	h.shutDown()
	h.hns.Reboot()
	h.boot()
	pods(11)
	if e := h.hns.Endpoints(); len(e) != 3 || e[0].Name != id(11)+"-eth0-azure" {
		t.Errorf("endpoints: %+v", e)
	}
	for i := range 3 {
		h.wantSuccess(h.call("DEL", id(11+i), "none", conf))
	}
	h.wantNothing()
}

func TestSixtyFourAtOnce(t *testing.T) {
	const pods = 64
	h := newHost(t, options{fabric: fabric.Default(1, pods), alone: true})
	conf := h.conf(nil)
	namespaces := make([]string, pods)
	for i := range namespaces {
		namespaces[i] = h.hns.AddNamespace()
	}
	all := func(command string) {
		t.Helper()
		replies := make([]node.Reply, pods)
		each(pods, func(i int) { replies[i] = h.call(command, id(i), namespaces[i], conf) })
		for _, r := range replies {
			h.wantExit0(command, r)
		}
	}
	all("ADD")
	if n, e, r := h.hns.Networks(), h.hns.Endpoints(),
		h.reservations(); len(n) != 1 || len(e) != pods || len(r) != pods || len(h.endpoints()) != pods {
		t.Errorf("%d networks, %d endpoints, %d addresses, %d in the state", len(n), len(e), len(r), len(h.endpoints()))
	}
	all("DEL")
	h.wantNothing()
}

// Whenever it is killed: the lock is free, the state whole, and the retry works. Every other time it is killed while it
// asks HNS, where there is most to lose; else after a random time.
func TestKilledAtRandom(t *testing.T) {
	const times, most = 50, 500
	h := newHost(t, options{alone: true})
	conf := h.conf(nil)
	ns := h.hns.AddNamespace()
	lasts := map[string]time.Duration{}
	calls := map[string]int{}
	for _, command := range []string{"ADD", "DEL"} {
		h.hns.Forget()
		began := time.Now()
		h.wantExit0(command, h.call(command, id(1), ns, conf))
		lasts[command], calls[command] = time.Since(began), len(h.hns.Calls())
	}
	killed := 0
	for i := 0; killed < times; i++ {
		if i == most {
			t.Fatalf("%d commands were killed in %d attempts", killed, i)
		}
		command := "ADD"
		if rand.IntN(2) == 0 {
			command = "DEL"
			h.wantResult(h.call("ADD", id(1), ns, conf))
		}
		h.hns.Forget()
		ctx, cancel := context.WithTimeout(h.ctx, time.Duration(rand.Int64N(int64(lasts[command]))))
		hang := make(chan struct{})
		if i%2 == 0 {
			reached := make(chan struct{})
			h.hns.On(hnssim.Rule{Nth: 1 + rand.IntN(calls[command]), Until: hang, Reached: reached})
			cancel()
			ctx, cancel = context.WithCancel(h.ctx)
			go func() {
				select {
				case <-reached:
					cancel()
				case <-ctx.Done():
				}
			}()
		}
		if h.kill(ctx, command, id(1), ns, conf) {
			killed++
		}
		cancel()
		close(hang)
		h.wantSuccess(h.call("DEL", id(1), ns, conf)) // as a runtime does after a failed ADD or DEL
		h.wantNothing()
	}
	h.wantResult(h.call("ADD", id(1), ns, conf))
}

// kill starts a command, kills it when ctx ends, and says whether it was still running. Its streams are no pipes: the
// IPAM plugin that it started lives on, and keeps them.
func (h *host) kill(ctx context.Context, command, containerID, netns string, conf map[string]any) bool {
	h.Helper()
	stdin, err := os.CreateTemp(h.TempDir(), "conf")
	h.must(err)
	defer func() { h.must(stdin.Close()) }()
	_, err = stdin.Write(h.json(conf))
	h.must(err)
	_, err = stdin.Seek(0, io.SeekStart)
	h.must(err)
	cmd := h.vm.Ns.Command(ctx, filepath.Join(h.bin, "azure-vnet"))
	cmd.Stdin = stdin
	cmd.Env = append(h.env(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+containerID, "CNI_NETNS="+netns, "CNI_IFNAME=eth0",
		"CNI_ARGS=", "CNI_PATH="+h.bin)
	if err := cmd.Start(); err != nil {
		return false // it was too early
	}
	_ = cmd.Wait() // it may have been killed
	return !cmd.ProcessState.Exited()
}
