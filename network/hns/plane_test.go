package hns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/store"
	"github.com/gofrs/flock"
)

// fakeHNS is HNS in memory: names and lists. What the documents say is looked at elsewhere.
type fakeHNS struct {
	supported, dual error
	slow            bool
	fail            map[string]error // by the name of a call
	hang            map[string]bool
	networks        []hnsNetwork
	names           []string
	hidden          int // so many looks for a network do not find it yet
	endpoints       []hnsEndpoint
	places          []string

	mu    sync.Mutex
	calls []string
}

func (f *fakeHNS) call(name string) error {
	f.mu.Lock()
	f.calls = append(f.calls, name)
	f.mu.Unlock()
	if f.hang[name] {
		select {}
	}
	return f.fail[name]
}

func (f *fakeHNS) Supported(dual bool) error {
	if err := f.call("supported"); err != nil || f.supported != nil {
		return errors.Join(err, f.supported)
	}
	if dual {
		return f.dual
	}
	return nil
}

func (f *fakeHNS) NeedsSettling() (bool, error) { return f.slow, f.call("slow") }

func (f *fakeHNS) Network(name string) (hnsNetwork, error) {
	if err := f.call("network"); err != nil {
		return hnsNetwork{}, err
	}
	if i := slices.Index(f.names, name); i >= 0 && f.hidden <= 0 {
		return f.networks[i], nil
	}
	f.hidden--
	return hnsNetwork{}, errGone
}

func (f *fakeHNS) Networks() (list []hnsNetwork, err error) {
	for i, n := range f.networks {
		if i < len(f.names) {
			n.Name = f.names[i]
			list = append(list, n)
		}
	}
	return list, f.call("networks")
}

func (f *fakeHNS) CreateNetwork([]byte) (hnsNetwork, error) {
	err := f.call("create network")
	n := hnsNetwork{ID: "made", Name: "azure", Type: "L2Bridge", Subnets: prefixList("10.240.0.0/16")}
	if err == nil || errors.Is(err, errThere) {
		f.networks, f.names = append(f.networks, n), append(f.names, "azure")
	}
	return n, err
}

func (f *fakeHNS) DeleteNetwork(string) error { return f.call("delete network") }

func (f *fakeHNS) find(match func(hnsEndpoint) bool) (out []hnsEndpoint) {
	for _, e := range f.endpoints {
		if match(e) {
			out = append(out, e)
		}
	}
	return out
}

func (f *fakeHNS) Endpoint(id string) (hnsEndpoint, error) {
	if err := f.call("endpoint"); err != nil {
		return hnsEndpoint{}, err
	}
	if found := f.find(func(e hnsEndpoint) bool { return e.ID == id }); len(found) > 0 {
		return found[0], nil
	}
	return hnsEndpoint{}, errGone
}

func (f *fakeHNS) EndpointsByName(name string) ([]hnsEndpoint, error) {
	return f.find(func(e hnsEndpoint) bool { return e.Name == name }), f.call("named")
}

func (f *fakeHNS) EndpointsOf(id string) ([]hnsEndpoint, error) {
	return f.find(func(e hnsEndpoint) bool { return e.NetworkID == id }), f.call("on")
}

func (f *fakeHNS) CreateEndpoint([]byte) (hnsEndpoint, error) {
	if err := f.call("create endpoint"); err != nil {
		return hnsEndpoint{}, err
	}
	if len(f.endpoints) > 0 {
		return hnsEndpoint{}, errors.New("the address is in use")
	}
	f.endpoints = []hnsEndpoint{{ID: "new", Name: "dee435e2b1c9-eth0-azure", NetworkID: "net", MAC: "00:15:5d:00:00:01",
		Addresses: prefixList("10.240.0.5/16")}}
	return f.endpoints[0], nil
}

func (f *fakeHNS) DeleteEndpoint(id string) error {
	if err := f.call("delete " + id); err != nil {
		return err
	}
	before := len(f.endpoints)
	f.endpoints = slices.DeleteFunc(f.endpoints, func(e hnsEndpoint) bool { return e.ID == id })
	if len(f.endpoints) == before {
		return errGone
	}
	return nil
}

func (f *fakeHNS) PlaceExists(place string) error {
	if err := f.call("place"); err != nil || slices.Contains(f.places, place) {
		return err
	}
	return errGone
}

func (f *fakeHNS) Attach(place, id string) error { return f.call("attach " + id + " to " + place) }
func (f *fakeHNS) AddNeighbor(place, mac string, hop netip.Addr) error {
	return f.call(fmt.Sprintf("neighbor %v of %s in %s", hop, mac, place))
}
func (f *fakeHNS) Detach(place, id string) error { return f.call("detach " + id + " from " + place) }

const namespace = "8967e557-04d5-3f5e-c045-d6d1efdc624c"

// newWindows is a data plane whose HNS is a fake one: v2 for the namespace, v1 else.
func newWindows(t *testing.T, netns string) (w *Dataplane, v1, v2 *fakeHNS) {
	t.Helper()
	v1, v2 = &fakeHNS{}, &fakeHNS{places: []string{namespace}}
	w = &Dataplane{LockPath: filepath.Join(t.TempDir(), "network.lock"), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), v1: v1, v2: v2}
	w.Serve(netns, 0)
	return w, v1, v2
}

func wantCalls(t *testing.T, f *fakeHNS, want ...string) {
	t.Helper()
	if !slices.Equal(f.calls, want) {
		t.Errorf("asked HNS %q, want %q", f.calls, want)
	}
}

func TestTheNamespaceSaysWhichHNS(t *testing.T) {
	for netns, wantV2 := range map[string]bool{
		namespace: true, strings.ToUpper(namespace): true, "none": false, "container:" + namespace: false, namespace[:35]: false, "": false,
	} {
		if IsNamespace(netns) != wantV2 {
			t.Errorf("%q: v2 is %v", netns, !wantV2)
		}
	}
	w, _, v2 := newWindows(t, namespace)
	proxy := &network.Endpoint{NetNS: "none", HNS: &network.HNSEndpoint{Policies: raws(`{"Type":"L4WFPPROXY","OutboundProxyPort":"15001"}`)}}
	if err := w.CheckNetNS(t.Context(), proxy); !errors.Is(err, network.ErrUnsupported) || !strings.Contains(err.Error(), "L4WFPPROXY") {
		t.Errorf("a policy that only HCN has, Docker's way: %v", err)
	}
	v2.supported = fmt.Errorf("%w: no HCN", network.ErrKernel)
	err := w.CheckNetNS(t.Context(), &network.Endpoint{NetNS: namespace})
	if !errors.Is(err, network.ErrKernel) || errors.Is(err, network.ErrHNS) {
		t.Errorf("without HCN: %v", err)
	}
	if err := w.CheckNetNS(t.Context(), &network.Endpoint{NetNS: "none"}); err != nil {
		t.Errorf("Docker's way without HCN: %v", err)
	}
}

func TestCheckNetNSOnHNS(t *testing.T) {
	for name, c := range map[string]struct {
		netns, state string
		taken        bool
		want         error
	}{
		"fine":                               {netns: namespace},
		"no such namespace":                  {netns: "11111111-04d5-3f5e-c045-d6d1efdc624c", want: network.ErrNetNS},
		"the name is taken":                  {netns: namespace, taken: true, want: network.ErrExists},
		"an interrupted ADD has it":          {netns: namespace, taken: true, state: network.Pending},
		"Docker's are looked for before":     {netns: "none", taken: true},
		"what HNS is to be told is unusable": {netns: "none", want: network.ErrPorts},
	} {
		w, _, v2 := newWindows(t, c.netns)
		if c.taken {
			v2.endpoints = []hnsEndpoint{{ID: "old", Name: "dee435e2b1c9-eth0-azure"}}
		}
		_, e := documented()
		e.NetNS, e.State = c.netns, c.state
		if errors.Is(c.want, network.ErrPorts) {
			e.HNS.Ports[0].Protocol = "sctp"
		}
		if err := w.CheckNetNS(t.Context(), e); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEnsureNetworkOnHNS(t *testing.T) {
	there := hnsNetwork{ID: "there", Type: "l2bridge", Subnets: prefixList("10.240.0.0/16", "fd00::/64")}
	for name, c := range map[string]struct {
		has    *hnsNetwork
		hidden int
		fail   map[string]error
		dual   error
		mode   network.Mode
		want   error
		calls  []string
		id     string
	}{
		"it is there":                {has: &there, calls: []string{"supported", "network"}, id: "there"},
		"it is made":                 {calls: []string{"supported", "network", "network", "create network", "slow"}, id: "made"},
		"another process was faster": {has: &there, hidden: 1, calls: []string{"supported", "network", "network"}, id: "there"},
		"another call was faster": {fail: map[string]error{"create network": errThere},
			calls: []string{"supported", "network", "network", "create network", "network"}, id: "made"},
		"it cannot be asked for": {fail: map[string]error{"network": errors.New("busy")}, want: network.ErrHNS,
			calls: []string{"supported", "network"}},
		"there is no such adapter": {fail: map[string]error{"create network": fmt.Errorf("%w: adapter", network.ErrMaster)},
			want: network.ErrMaster, calls: []string{"supported", "network", "network", "create network"}},
		"it has another type": {has: &there, mode: network.ModeTunnel, want: network.ErrConflict,
			calls: []string{"supported", "network"}},
		"it lacks a subnet": {has: &hnsNetwork{ID: "there", Type: "L2Bridge", Subnets: prefixList("10.241.0.0/16")},
			want: network.ErrConflict, calls: []string{"supported", "network"}},
		"two families on an HNS that has one": {dual: fmt.Errorf("%w: IPv6", network.ErrKernel), want: network.ErrKernel,
			calls: []string{"supported"}},
	} {
		w, _, v2 := newWindows(t, namespace)
		v2.fail, v2.dual, v2.hidden = c.fail, c.dual, c.hidden
		if c.has != nil {
			v2.networks, v2.names = []hnsNetwork{*c.has}, []string{"azure"}
		}
		n, _ := documented()
		if c.mode != "" {
			n.Mode = c.mode
		}
		if c.dual != nil {
			n.Prefixes = there.Subnets
		}
		seen, err := w.EnsureNetwork(t.Context(), n)
		if !errors.Is(err, c.want) || c.want == nil && err != nil || seen.HNSID != c.id {
			t.Errorf("%s: %v, ID %q", name, err, seen.HNSID)
		}
		if errors.Is(c.want, network.ErrConflict) && !strings.Contains(err.Error(), "azure-vnet cleanup") {
			t.Errorf("%s: no remedy: %v", name, err)
		}
		wantCalls(t, v2, c.calls...)
	}
	w, v1, v2 := newWindows(t, namespace)
	if _, err := w.EnsureNetwork(t.Context(), &network.Network{Name: "azure"}); err != nil || len(v1.calls)+len(v2.calls) > 0 {
		t.Errorf("a repair without a configuration: %v, %v", err, v2.calls)
	}
}

// Windows 1803 and older: the adapter takes ten seconds, and nobody has to wait for it under a lock.
func TestANewNetworkOfAnOldWindowsSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, v1, _ := newWindows(t, "none")
		v1.slow = true
		n, _ := documented()
		began := time.Now()
		ended := make(chan error)
		go func() {
			_, err := w.EnsureNetwork(t.Context(), n)
			ended <- err
		}()
		synctest.Wait()
		lock := flock.New(w.LockPath)
		if ok, err := lock.TryLock(); !ok || err != nil {
			t.Errorf("the lock is held while the network settles: %v", err)
		}
		_ = lock.Close()
		if err := <-ended; err != nil || time.Since(began) != settle {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		began = time.Now()
		if _, err := w.EnsureNetwork(t.Context(), n); err != nil || time.Since(began) != 0 {
			t.Errorf("the network that is there: %v after %s", err, time.Since(began))
		}

		w, v1, _ = newWindows(t, "none")
		v1.slow = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.EnsureNetwork(ctx, n); !errors.Is(err, network.ErrHNS) {
			t.Errorf("without time: %v", err)
		}
	})
}

func TestACallThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := newWindows(t, namespace)
		stuck := make(chan struct{})
		defer close(stuck)
		hang := func() error { <-stuck; return nil }
		for _, c := range []struct {
			limit, left, want time.Duration
		}{{0, time.Hour, HNSLimit}, {7 * time.Second, time.Hour, 7 * time.Second}, {0, 5 * time.Second, 5 * time.Second}} {
			w.Serve(namespace, c.limit)
			ctx, cancel := context.WithTimeout(t.Context(), c.left)
			began := time.Now()
			err := tell(ctx, w, "delete endpoint x", hang)
			cancel()
			if took := time.Since(began); !errors.Is(err, network.ErrHNS) ||
				!strings.Contains(err.Error(), "delete endpoint x: no answer in "+c.want.String()) || took != c.want {
				t.Errorf("limit %s, %s left: %v after %s", c.limit, c.left, err, took)
			}
			asked := false
			if err := tell(ctx, w, "x", func() error { asked = true; return nil }); !errors.Is(err, network.ErrHNS) || asked {
				t.Errorf("a command without time asks all the same: %v", err)
			}
		}
	})
	if total := HNSLimit + network.UndoTime; total > 120*time.Second-network.UndoTime {
		t.Errorf("after a call that hangs there is no time left to undo: %s", total)
	}
}

func TestCreateEndpointOnHNS(t *testing.T) {
	for name, netns := range map[string]string{"HCN": namespace, "v1": "none"} {
		w, v1, v2 := newWindows(t, netns)
		used, place := v2, namespace
		if netns == "none" {
			used, place = v1, "dee435e2b1c9"
		}
		n, e := documented()
		n.HNSID, e.NetNS = "net", netns
		if err := w.CreateEndpoint(t.Context(), n, e); err != nil {
			t.Fatal(name, err)
		}
		if used.calls[len(used.calls)-1] != "attach new to "+place || e.HNS.ID != "new" || e.MAC != "00:15:5d:00:00:01" ||
			e.HostIfName != "dee435e2b1c9-eth0-azure" {
			t.Errorf("%s: %v, %+v", name, used.calls, e)
		}
	}
}

// HNS wants a next hop in the subnet, where nobody answers for it. So the pod is told the MAC of Azure's network.
func TestTheNextHopOfIPv6IsANeighbor(t *testing.T) {
	const neighbor = "neighbor fd00::1 of 00:15:5d:00:00:01 in " + namespace
	broken := errors.New("no adapter")
	for name, c := range map[string]struct {
		hop   string
		fail  map[string]error
		calls []string
		want  error
	}{
		"Azure's": {hop: "fe80::1234:5678:9abc",
			calls: []string{"supported", "create endpoint", "attach new to " + namespace, neighbor}},
		"it cannot be told": {hop: "fe80::1234:5678:9abc", fail: map[string]error{neighbor: broken},
			calls: []string{"supported", "create endpoint", "attach new to " + namespace, neighbor}, want: broken},
		"a router that the IPAM plugin has": {hop: "fd00::ff", calls: []string{"supported", "create endpoint", "attach new to " + namespace}},
	} {
		w, _, v2 := newWindows(t, namespace)
		v2.fail = c.fail
		n, e := documented()
		n.HNSID, e.NetNS = "net", namespace
		n.Prefixes, e.Addresses = prefixList("10.240.0.0/16", "fd00::/64"), prefixList("10.240.0.5/16", "fd00::5/64")
		e.Routes = append(e.Routes, network.Route{Dst: netip.MustParsePrefix("::/0"), GW: netip.MustParseAddr(c.hop)})
		if err := w.CreateEndpoint(t.Context(), n, e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		wantCalls(t, v2, c.calls...)
	}
}

// Whoever has the pod's address goes, if it serves nobody.
func TestAnEndpointThatServesNobodyIsNotInTheWay(t *testing.T) {
	orphan := hnsEndpoint{ID: "old", Name: "12345678-eth0", NetworkID: "net", Addresses: prefixList("10.240.0.5/16")}
	w, _, v2 := newWindows(t, namespace)
	v2.endpoints = []hnsEndpoint{orphan}
	n, e := documented()
	n.HNSID, e.NetNS = "net", namespace
	if err := w.CreateEndpoint(t.Context(), n, e); err != nil {
		t.Error(err)
	}
	wantCalls(t, v2, "supported", "create endpoint", "on", "delete old", "create endpoint", "attach new to "+namespace)

	orphan.Places = []string{"another"}
	v2.calls, v2.endpoints = nil, []hnsEndpoint{orphan}
	if err := w.CreateEndpoint(t.Context(), n, e); !errors.Is(err, network.ErrHNS) || !strings.Contains(err.Error(), "12345678-eth0") {
		t.Errorf("one that is attached: %v", err)
	}
	wantCalls(t, v2, "supported", "create endpoint", "on")

	orphan.Places, orphan.Addresses = nil, prefixList("10.240.0.6/16")
	v2.calls, v2.endpoints = nil, []hnsEndpoint{orphan}
	if err := w.CreateEndpoint(t.Context(), n, e); !errors.Is(err, network.ErrHNS) {
		t.Errorf("one with another address: %v", err)
	}
	wantCalls(t, v2, "supported", "create endpoint", "on")
}

func TestAPortInUseIsNamed(t *testing.T) {
	w, _, v2 := newWindows(t, namespace)
	v2.fail = map[string]error{"create endpoint": errPort}
	n, e := documented()
	e.NetNS = namespace
	if err := w.CreateEndpoint(t.Context(), n, e); !errors.Is(err, network.ErrHNS) || !strings.Contains(err.Error(), "tcp/8080") {
		t.Error(err)
	}
	wantCalls(t, v2, "supported", "create endpoint")
}

func TestDeleteEndpointOnHNS(t *testing.T) {
	const name, former, another = "dee435e2b1c9-eth0-azure", "dee435e2-eth0", "11111111-04d5-3f5e-c045-d6d1efdc624c"
	busy := errors.New("busy")
	for what, c := range map[string]struct {
		known    bool   // to the state, with its ID
		name     string // of what HNS has; the whole one by default
		network  string // that has it; the owner's by default
		place    string // where it is attached; the namespace by default
		netns    string
		live     string // ID of another endpoint of the state
		fail     map[string]error
		none     bool
		old      bool // no HCN
		want     error
		calls    []string
		v1, gone bool
	}{
		"known": {known: true, netns: namespace,
			calls: []string{"supported", "detach e from " + namespace, "delete e"}, gone: true},
		"known, by v1": {known: true, netns: "none", v1: true, calls: []string{"delete e"}, gone: true},
		"unknown": {calls: []string{"supported", "network", "named", "named",
			"detach e from " + namespace, "delete e"}, gone: true},
		"unknown, without HCN": {old: true, v1: true,
			calls: []string{"network", "named", "named", "detach e from " + namespace, "delete e"}, gone: true},
		"unknown, of another network":  {network: "other", calls: []string{"supported", "network", "named", "named"}},
		"unknown, the network is gone": {network: "none", calls: []string{"supported", "network"}},
		"by the former name": {name: former, netns: namespace,
			calls: []string{"supported", "network", "named", "named", "detach e from " + namespace, "delete e"}, gone: true},
		"by the former name, elsewhere":         {name: former, netns: another, calls: []string{"supported", "network", "named", "named"}},
		"by the former name, nobody says where": {name: former, calls: []string{"supported", "network", "named", "named"}},
		"by the former name, another's": {name: former, netns: namespace, live: "E",
			calls: []string{"supported", "network", "named", "named"}},
		"by the former name, in its container": {name: former, netns: "none", place: "dee435e2b1c9", v1: true,
			calls: []string{"network", "named", "named", "delete e"}, gone: true},
		"known, and gone": {known: true, netns: namespace, none: true,
			calls: []string{"supported", "detach e from " + namespace, "delete e"}, gone: true},
		"it cannot be detached": {known: true, netns: namespace, fail: map[string]error{"detach e from " + namespace: busy},
			calls: []string{"supported", "detach e from " + namespace, "delete e"}, gone: true},
		"it cannot be deleted": {known: true, netns: namespace, fail: map[string]error{"delete e": busy}, want: network.ErrHNS,
			calls: []string{"supported", "detach e from " + namespace, "delete e"}},
		"it cannot be looked for": {fail: map[string]error{"named": busy}, want: network.ErrHNS,
			calls: []string{"supported", "network", "named"}},
		"the network cannot be looked for": {fail: map[string]error{"network": busy}, want: network.ErrHNS,
			calls: []string{"supported", "network"}},
	} {
		w, v1, v2 := newWindows(t, "")
		used := v2
		if c.v1 {
			used = v1
		}
		if c.old {
			v2.supported = network.ErrKernel
		}
		if c.network != "none" {
			used.networks, used.names = []hnsNetwork{{ID: "NET"}}, []string{"azure"}
		}
		if used.fail = c.fail; !c.none {
			used.endpoints = []hnsEndpoint{{ID: "e", Name: cmp.Or(c.name, name), NetworkID: cmp.Or(c.network, "net"),
				Places: []string{cmp.Or(c.place, namespace)}}}
		}
		_, e := documented()
		if e.NetNS = c.netns; c.known {
			e.HNS.ID = "e"
		} else {
			e.HNS = nil
		}
		n := &network.Network{Name: "azure"}
		if c.live != "" {
			n.Carried = make([]network.Endpoints, 1)
			n.Carried[0].Set(&network.Endpoint{Owner: owner("azure", "other", "eth0"), HNS: &network.HNSEndpoint{ID: c.live}})
		}
		if err := w.DeleteEndpoint(t.Context(), n, e); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if gone := len(used.endpoints) == 0; gone != c.gone {
			t.Errorf("%s: gone is %v", what, gone)
		}
		t.Log(what)
		wantCalls(t, used, c.calls...)
	}
}

// HNS keeps what the files have lost: whose the endpoints are that are attached to something.
func TestHNSKnowsWhoseEndpointsAre(t *testing.T) {
	w, _, v2 := newWindows(t, "")
	v2.networks, v2.names = []hnsNetwork{{ID: "net"}}, []string{"azure"}
	v2.endpoints = []hnsEndpoint{
		{ID: "a", Name: "default-web_1.x-eth0-azure", NetworkID: "net", MAC: "00:15:5d:00:00:01", Addresses: prefixList("10.240.0.5/16"),
			Places: []string{namespace}},
		{ID: "b", Name: "c2-eth0-azure", NetworkID: "net",
			Addresses: prefixList("10.240.0.6/16")}, // attached to nothing
		{ID: "c", Name: "dee435e2-eth0", NetworkID: "net", Addresses: prefixList("10.240.0.7/16"),
			Places: []string{namespace}}, // of an earlier version
		{ID: "d", Name: "c4-eth0-azure", NetworkID: "net", Addresses: prefixList("10.240.0.8/16"), Places: []string{namespace}}, // known
		{ID: "e", Name: "c5-eth0-other", NetworkID: "other", Addresses: prefixList("10.240.0.9/16"),
			Places: []string{namespace}}, // of another network
		{ID: "f", Name: "-eth0-azure", NetworkID: "net", Addresses: prefixList("10.240.0.10/16"), Places: []string{namespace}},      // of nobody
		{ID: "g", Name: "c7-eth0-azure", NetworkID: "net", Addresses: prefixList("10.240.0.11/16"), Places: []string{"c7", "work"}}, // Docker's
	}
	n := &network.Network{Name: "azure", Carried: make([]network.Endpoints, 1)}
	n.Carried[0].Set(&network.Endpoint{Owner: owner("azure", "c4", "eth0"), HNS: &network.HNSEndpoint{ID: "D"}})
	found, err := w.Endpoints(t.Context(), n)
	if err != nil || len(found) != 2 {
		t.Fatalf("%v: %v", err, found)
	}
	web, docker := found[0], found[1]
	if web.Owner != owner("azure", "default-web_1.x", "eth0") || web.State != network.Ready || web.NetNS != namespace || web.HNS.ID != "a" ||
		web.MAC != "00:15:5d:00:00:01" || !web.Rebuilt || web.Addresses[0].String() != "10.240.0.5/16" {
		t.Errorf("%+v", web)
	}
	if docker.Owner != owner("azure", "c7", "eth0") || docker.NetNS != "" {
		t.Errorf("%+v", docker)
	}
	owners, err := w.Owners(t.Context(), n)
	if err != nil || len(owners) != 4 {
		t.Errorf("owners %v, %v", owners, err)
	}
	for kind, want := range map[string]bool{"l2bridge": true, "L2Tunnel": true, "nat": false} {
		v2.networks[0].Type = kind
		if there, err := w.There(t.Context(), "azure"); there != want || err != nil {
			t.Errorf("a network of type %s: there is %t, %v", kind, there, err)
		}
		if names, err := w.Networks(t.Context()); slices.Contains(names, "azure") != want || err != nil {
			t.Errorf("a network of type %s: networks are %v, %v", kind, names, err)
		}
	}
	v2.networks[0].Type, v2.names[0] = "L2Bridge", "theirs" // no endpoint has a name of ours in that network
	if names, err := w.Networks(t.Context()); len(names) > 0 || err != nil {
		t.Errorf("another plugin's network: %v, %v", names, err)
	}
	v2.names[0] = "azure"
	v2.names = nil
	if there, err := w.There(t.Context(), "azure"); there || err != nil {
		t.Errorf("no network: there is %t, %v", there, err)
	}
	if found, err := w.Endpoints(t.Context(), n); len(found) > 0 || err != nil {
		t.Errorf("without the network: %v, %v", found, err)
	}
	for id, want := range map[string]bool{"a": false, "gone": true, "": false} {
		if gone, err := w.Gone(t.Context(), &network.Endpoint{NetNS: namespace, HNS: &network.HNSEndpoint{ID: id}}); gone != want || err != nil {
			t.Errorf("%q: gone is %t, %v", id, gone, err)
		}
	}
	v2.fail = map[string]error{"endpoint": errors.New("busy")}
	if gone, err := w.Gone(t.Context(), &network.Endpoint{NetNS: namespace, HNS: &network.HNSEndpoint{ID: "a"}}); gone ||
		!errors.Is(err, network.ErrHNS) {
		t.Errorf("HNS that fails: gone is %t, %v", gone, err)
	}
}

func TestCheckEndpointOnHNS(t *testing.T) {
	good := hnsEndpoint{ID: "e", Addresses: prefixList("10.240.0.5/16"), Places: []string{strings.ToUpper(namespace)}}
	for name, c := range map[string]struct {
		change func(*hnsEndpoint)
		text   string
	}{
		"as it was made":  {func(*hnsEndpoint) {}, ""},
		"gone":            {func(e *hnsEndpoint) { e.ID = "another" }, "no endpoint dee435e2b1c9-eth0-azure"},
		"another address": {func(e *hnsEndpoint) { e.Addresses = prefixList("10.240.0.6/16") }, "10.240.0.6/16"},
		"not attached":    {func(e *hnsEndpoint) { e.Places = nil }, "not attached"},
	} {
		w, _, v2 := newWindows(t, namespace)
		has := good
		c.change(&has)
		v2.endpoints = []hnsEndpoint{has}
		_, e := documented()
		e.NetNS, e.HNS.ID = namespace, "e"
		err := w.CheckEndpoint(t.Context(), nil, e)
		if c.text == "" && err != nil || c.text != "" && (!errors.Is(err, network.ErrDifference) || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatusAndCleanupOnHNS(t *testing.T) {
	w, _, v2 := newWindows(t, "")
	n := &network.Network{Name: "azure", Mode: network.ModeBridge}
	if err := w.Status(t.Context(), n); err != nil {
		t.Errorf("before the first ADD: %v", err)
	}
	if err := w.DeleteNetwork(t.Context(), n); err != nil {
		t.Errorf("a network that is gone: %v", err)
	}
	v2.fail = map[string]error{"network": errors.New("busy")}
	if err := w.Status(t.Context(), n); !errors.Is(err, network.ErrHNS) {
		t.Errorf("HNS that fails: %v", err)
	}
	if err := w.DeleteNetwork(t.Context(), n); !errors.Is(err, network.ErrHNS) {
		t.Errorf("HNS that fails: %v", err)
	}
	if err := w.Status(t.Context(), &network.Network{Mode: network.ModeTransparent}); !errors.Is(err, network.ErrUnsupported) {
		t.Errorf("transparent mode: %v", err)
	}
}

// Two of one name cannot be told apart.
func TestASharedEndpointIsFoundByItsNameOnlyIfThereIsOne(t *testing.T) {
	w, v1, _ := newWindows(t, "container:dee435e2b1c9")
	v1.networks, v1.names = []hnsNetwork{{ID: "net"}}, []string{"azure"}
	one := hnsEndpoint{ID: "a", Name: "dee435e2b1c9-eth0-azure", NetworkID: "net", MAC: "00:15:5d:00:00:01",
		Addresses: prefixList("10.240.0.5/16"), Gateways: []netip.Addr{netip.MustParseAddr("10.240.0.1")},
		DNS: network.PodDNS{Servers: []string{"10.0.0.10"}}}
	v1.endpoints = []hnsEndpoint{one}
	o := owner("azure", "dee435e2b1c9", "eth0")
	m := &manager.Manager{Dataplane: w,
		Store: store.New(store.Options[network.State]{Path: filepath.Join(t.TempDir(), "state.json"), Schema: 1})}
	e, err := m.Share(t.Context(), o, "container:dee435e2b1c9", "workload")
	if err != nil || e == nil || e.MAC != one.MAC || !slices.Equal(e.Addresses,
		one.Addresses) || len(e.Routes) != 1 || e.Routes[0].GW != one.Gateways[0] || e.HNS.DNS.Servers[0] != "10.0.0.10" {
		t.Errorf("%v, %+v", err, e)
	}
	wantCalls(t, v1, "network", "named", "named", "attach a to workload")
	v1.endpoints = append(v1.endpoints, hnsEndpoint{ID: "b", Name: "dee435e2b1c9-eth0-azure", NetworkID: "net"})
	if _, err := m.Share(t.Context(), o, "", "workload"); !errors.Is(err, network.ErrHNS) {
		t.Errorf("two of them: %v", err)
	}
	v1.endpoints = nil
	if e, err := m.Share(t.Context(), o, "", "workload"); e != nil || err != nil {
		t.Errorf("none: %v, %v", e, err)
	}
	if err := m.Unshare(t.Context(), o, "", "workload"); err != nil {
		t.Errorf("none: %v", err)
	}
}
