package manager_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
)

func TestAddConnectsThePodAndRemembersIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := pod(c1)
	n, err := l.start().Add(t.Context(), bridgeMode, e)
	if err != nil {
		t.Fatal(err)
	}
	l.want(azureWithC1)
	if n.Bridge != "azure2" || n.MAC == "" || e.HostMAC == "" || e.MTU != 1500 || e.State != network.Ready || !e.Created.Equal(noon) {
		t.Errorf("the caller got network %+v and endpoint %+v", n, e)
	}
}

func TestDeleteTakesThePodAwayAndKeepsTheNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	l.del(c1)
	l.want(azureWithoutPods)
	l.del(c1) // once more is success
	l.want(azureWithoutPods)
}

func TestDeleteWorksAfterTheNamespaceIsGone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	l.EndPod("/ns/c1")
	l.del(c1)
	l.want(azureWithoutPods)
}

func TestDeleteOfAnUnknownOwnerAsksTheHostForTheDerivedName(t *testing.T) {
	t.Parallel()
	for name, network := range map[string]string{"of an unknown network": "other", "of a known network": "azure"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.add(c1)
			o := c2
			o.Network = network
			p := l.start()
			var asked []string
			p.host.Hook = func(s networktest.Step) {
				if s.Moment == networktest.Before {
					asked = append(asked, strings.Join([]string{s.Method, s.Network.Name, s.Network.Bridge, s.Endpoint.Owner.String(),
						s.Endpoint.HostIfName}, " "))
				}
			}
			if err := p.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if want := []string{"DeleteEndpoint " + network + "  " + o.String() + " " + o.HostIfName()}; !slices.Equal(asked, want) {
				t.Errorf("the host was asked %q, want %q", asked, want)
			}
			l.want(azureWithC1)
		})
	}
}

func TestAddRefusesAnOwnerThatIsReady(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	before := l.String()
	p := l.start()
	p.host.Hook = func(s networktest.Step) { t.Errorf("the host was touched: %s", s.Method) }
	_, err := p.Add(t.Context(), bridgeMode, pod(c1))
	wantError(t, err, network.ErrExists)
	l.want(before)
}

func TestAddRemovesWhatAnInterruptedOneLeftAndStartsAnew(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.interrupt(c1)
	if text := l.String(); !strings.Contains(text, "pending c1/eth0") || !strings.Contains(text, "veth") {
		t.Fatalf("no interrupted ADD: %s", text)
	}
	l.add(c1) // the fake, like the kernel, refuses a second veth of the name
	l.want(azureWithC1)
}

func TestAnInterruptedAddDoesNotHoldUpAnotherBridge(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.interrupt(c1)
	c := bridgeMode
	c.Bridge = "br0"
	if _, err := l.start().Add(t.Context(), c, pod(c1)); err != nil {
		t.Fatal(err)
	}
	l.want(strings.ReplaceAll(azureWithC1, "azure2", "br0"))
}

// Of two first ADDs only one sees what ip_forward was, whichever records it last.
func TestWhatIPForwardWasIsNotForgottenByAnADDBeside(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.start()
	p.host.Hook = func(s networktest.Step) {
		if s.Method == "EnsureNetwork" && s.Moment == networktest.Before {
			l.add(c2)
		}
	}
	if _, err := p.Add(t.Context(), bridgeMode, pod(c1)); err != nil {
		t.Fatal(err)
	}
	l.del(c2)
	l.want(azureWithC1)
}

func TestPrecheckSaysBeforeAnythingIsTakenThatAnAddCannotWork(t *testing.T) {
	t.Parallel()
	elsewhere, occupied := pod(c2), pod(network.Owner{Network: "azure", ContainerID: "c1", IfName: "eth0"})
	elsewhere.NetNS = "/ns/nowhere"
	occupied.ContainerID = "another"
	for name, test := range map[string]struct {
		config network.Config
		pod    *network.Endpoint
		want   error
	}{
		"all is well":                            {bridgeMode, pod(c2), nil},
		"the owner is ready":                     {bridgeMode, pod(c1), network.ErrExists},
		"the namespace is gone":                  {bridgeMode, elsewhere, network.ErrNetNS},
		"the pod has an interface of that name":  {bridgeMode, occupied, network.ErrExists},
		"there is no such master":                {network.Config{Master: "eth7"}, pod(c2), network.ErrMaster},
		"the master is named and can be used":    {network.Config{Master: "eth0"}, pod(c2), nil},
		"an interrupted ADD is nothing to mind":  {bridgeMode, pod(c3), nil},
		"the master cannot be used: loopback lo": {network.Config{Master: "lo"}, pod(c2), network.ErrMaster},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.add(c1)
			if test.pod.Owner == c3 {
				l.interrupt(c3)
			}
			before := l.String()
			wantError(t, l.start().Precheck(t.Context(), test.config, test.pod), test.want)
			l.want(before)
		})
	}
}

func TestCheckNamesTheFirstDifference(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		disturb  func(*lab)
		believed string
		want     string
	}{
		"all is as it was made":              {believed: "10.240.1.1/16"},
		"the runtime believes in no address": {},
		"the runtime believes in another":    {believed: "10.240.1.9/16", want: "the runtime's result says [10.240.1.9/16]"},
		"it was deleted":                     {disturb: func(l *lab) { l.del(c1) }, want: "no ready endpoint for azure/c1/eth0"},
		"it was interrupted":                 {disturb: func(l *lab) { l.del(c1); l.interrupt(c1) }, want: "no ready endpoint for azure/c1/eth0"},
		"the pod's end is gone":              {disturb: func(l *lab) { l.EndPod("/ns/c1") }, want: "host veth azvab9234ec104 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.add(c1)
			if test.disturb != nil {
				test.disturb(l)
			}
			before := l.String()
			var believed []string
			if test.believed != "" {
				believed = append(believed, test.believed)
			}
			err := l.start().Check(t.Context(), c1, "", manager.Believed{Addresses: prefixes(believed...)})
			if test.want == "" {
				wantError(t, err, nil)
			} else if wantError(t, err, network.ErrDifference); err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v does not name %q", err, test.want)
			}
			l.want(before)
		})
	}
}

func TestStatusSaysWhyAnAddCouldNotWork(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config network.Config
		kernel error
		want   error
	}{
		"all is well":                      {config: network.Config{Master: "eth0"}},
		"no master is named":               {},
		"the master is not there":          {config: network.Config{Master: "eth7"}, want: network.ErrMaster},
		"the kernel lacks the rules":       {kernel: network.ErrKernel, want: network.ErrKernel},
		"the mode is the configuration's":  {config: network.Config{Mode: network.ModeTunnel}},
		"the interfaces cannot be listed":  {want: errBoom},
		"the state folder is not writable": {want: store.ErrWrite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.Kernel = test.kernel
			if errors.Is(test.want, store.ErrWrite) {
				l.path += "/no/such/folder/azure-vnet.json"
			}
			p := l.start()
			if errors.Is(test.want, errBoom) {
				p.Interfaces = func() ([]platform.Interface, error) { return nil, errBoom }
			}
			p.host.Hook = func(s networktest.Step) {
				if s.Method != "Status" || s.Network.Name != "azure" || s.Network.Mode != test.config.Mode {
					t.Errorf("the host was asked %s of %+v", s.Method, s.Network)
				}
			}
			wantError(t, p.Status(t.Context(), "azure", test.config), test.want)
		})
	}
}
