package manager_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
)

// collectLab has the network "azure" with c1 ready, c2 interrupted and c3 only on the host, and a pod of
// another network.
func collectLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.add(c1)
	l.interrupt(c2)
	another := &lab{t, l.Host, filepath.Join(t.TempDir(), "azure-vnet.json")}
	another.add(c3)
	other := pod(network.Owner{Network: "other", ContainerID: "c3", IfName: "net1"})
	other.Addresses = prefixes("10.240.1.9/16")
	if _, err := l.start().Add(t.Context(), bridgeMode, other); err != nil {
		t.Fatal(err)
	}
	return l
}

func keepOnly(ids ...string) func(string, string) bool {
	return func(id, ifName string) bool { return ifName == "eth0" && strings.Contains(strings.Join(ids, " "), id) }
}

func TestCollectDeletesWhatIsNotToBeKept(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		keep      []string
		collected int
		gone      []network.Owner
	}{
		"all is kept":      {keep: []string{"c1", "c2", "c3"}},
		"nothing is kept":  {collected: 3, gone: []network.Owner{c1, c2, c3}},
		"one ready is":     {keep: []string{"c1"}, collected: 2, gone: []network.Owner{c2, c3}},
		"an unknown one":   {keep: []string{"c3"}, collected: 2, gone: []network.Owner{c1, c2}},
		"an interrupted":   {keep: []string{"c2"}, collected: 2, gone: []network.Owner{c1, c3}},
		"a container that": {keep: []string{"c9"}, collected: 3, gone: []network.Owner{c1, c2, c3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := collectLab(t)
			want := l.String()
			collected, _, err := l.start().Collect(t.Context(), "azure", keepOnly(test.keep...))
			n := len(collected)
			if err != nil || n != test.collected {
				t.Errorf("collected %d, error %v; want %d", n, err, test.collected)
			}
			for _, o := range test.gone {
				want = without(want, o)
			}
			l.want(want)
		})
	}
}

// without is the text without the lines that are about the owner: those with its name, and in the state
// those with its key and its host veth.
func without(text string, o network.Owner) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, o.String()) && !strings.Contains(line, o.HostIfName()) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestCollectGoesOnAfterErrorsAndReportsAll(t *testing.T) {
	t.Parallel()
	l := collectLab(t)
	want := without(l.String(), c3)
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		if s.Moment != networktest.Before {
			return
		}
		switch {
		case s.Method == "DeleteEndpoints":
			p.host.FailAt(s.Call, networktest.Before, errBoom)
		case s.Method == "DeleteEndpoint" && s.Endpoint.ContainerID != "c3":
			p.host.FailAt(s.Call, networktest.Before, errors.New("no way to delete "+s.Endpoint.ContainerID))
		}
	}
	collected, _, err := p.Collect(t.Context(), "azure", keepOnly())
	n := len(collected)
	if n != 1 || err == nil {
		t.Fatalf("collected %d, error %v", n, err)
	}
	same(t, err.Error(), "collect azure/c1/eth0: no way to delete c1\ncollect azure/c2/eth0: no way to delete c2")
	l.want(want)
}

// failOwners lets the first n listings of who has something on the host fail.
func (p process) failOwners(n int) {
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "Owners" && s.Moment == networktest.Before && n > 0 {
			n--
			p.host.FailAt(s.Call, networktest.Before, errBoom)
		}
	}
}

func TestCollectDeletesWhatTheStateKnowsWhenTheHostCannotBeAsked(t *testing.T) {
	t.Parallel()
	l := collectLab(t)
	want := without(without(l.String(), c1), c2)
	p := l.start()
	p.failOwners(2)
	collected, left, err := p.Collect(t.Context(), "azure", keepOnly())
	n := len(collected)
	wantError(t, err, errBoom)
	if n != 2 || left != nil {
		t.Errorf("collected %d, left %v", n, left)
	}
	l.want(want)
	p = l.start()
	p.failOwners(1) // once is no matter
	if collected, left, err := p.Collect(t.Context(), "azure", keepOnly()); len(collected) != 1 || left == nil || err != nil {
		t.Errorf("collected %d, left %v, %v", n, left, err)
	}
}

func TestCollectOfAnUnknownNetworkTouchesNothing(t *testing.T) {
	t.Parallel()
	l := collectLab(t)
	before := l.String()
	collected, _, err := l.start().Collect(t.Context(), "nosuch", keepOnly())
	n := len(collected)
	if n != 0 || err != nil {
		t.Errorf("collected %d, error %v", n, err)
	}
	l.want(before)
}
