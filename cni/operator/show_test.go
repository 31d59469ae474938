package operator

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-container-networking/cni/console/consoletest"
	"github.com/Azure/azure-container-networking/network"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// nodeWith is a state with two networks, and so many pods with names as a ReplicaSet's are; some have both families,
// one is in both networks.
func nodeWith(pods int) shownState {
	s := &network.State{Networks: map[string]*network.Network{}}
	for i, name := range []string{"azure", "backend-of-the-bank"} {
		s.Networks[name] = &network.Network{
			Name: name, Mode: network.ModeBridge, Master: fmt.Sprintf("eth%d", i), Bridge: fmt.Sprintf("azure%d", i+2),
			Prefixes: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.24%d.0.0/16", i)),
				netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", i))}, Created: noon.Add(-100 * time.Hour),
		}
	}
	names := []string{"coredns-7db6d8ff4d-x2k9v", "web-0", "payment-service-with-a-long-name-5f9c7b6d8-qwz7n",
		"metrics-server-6d94bc8694-abcde"}
	spaces := []string{"kube-system", "default", "accounting-production", "kube-system"}
	add := func(i int, net, ifName string, addresses ...string) {
		o := network.Owner{Network: net, ContainerID: fmt.Sprintf("%064x", 0xabcdef0123+int64(i)*0x1000003), IfName: ifName}
		e := &network.Endpoint{
			Owner: o, PodNamespace: spaces[i%4], PodName: names[i%4], HostIfName: o.HostIfName(),
			MAC:   fmt.Sprintf("0a:58:0a:f0:%02x:%02x", i>>8, i&255),
			NetNS: fmt.Sprintf("/var/run/netns/cni-%08x", i), State: network.Ready, Created: noon.Add(-time.Duration(250-i) * 1000 * time.Second),
		}
		if i >= 4 {
			e.PodName = fmt.Sprintf("%s-%d", e.PodName, i)
		}
		for _, a := range addresses {
			e.Addresses = append(e.Addresses, netip.MustParsePrefix(a))
		}
		s.Networks[net].Endpoints.Set(e)
	}
	for i := range pods {
		addresses := []string{fmt.Sprintf("10.240.%d.%d/16", i/200, i%200+5)}
		if i%7 == 2 {
			addresses = append(addresses, fmt.Sprintf("fd00::%x/64", i+5))
		}
		add(i, "azure", "eth0", addresses...)
		if i == 1 {
			add(i, "backend-of-the-bank", "eth1", "10.241.0.5/16")
		}
	}
	return shown(s, func(*network.Endpoint) bool { return false })
}

// What show says, to a terminal of 80 columns and of others, and to a file.
func TestScreensOfShow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pods, width int
		o           options
	}{
		"show-80": {pods: 4, width: 80}, "show-80-250": {pods: 250, width: 80}, "show-40": {pods: 4, width: 40},
		"show-200": {pods: 4, width: 200}, "show-piped": {pods: 4},
		"show-namespace": {pods: 4, width: 80, o: options{namespace: "kube-system"}},
		"show-network":   {pods: 4, width: 80, o: options{network: "backend-of-the-bank"}},
		"show-pod":       {pods: 4, width: 80, o: options{pod: "web-0"}}, "show-no-pods": {width: 80},
		"show-gone": {pods: 3, width: 80, o: options{namespace: "default"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := nodeWith(c.pods)
			if name == "show-gone" {
				all.Networks[0].Endpoints[1].State = gone
			}
			s, err := c.o.choose(all)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if c.o.pod != "" {
				printPods(s, noon, &text)
			} else {
				printTables(s, noon, c.width, &text)
			}
			consoletest.Screen(t, name, text.String())
			for line := range strings.SplitSeq(text.String(), "\n") {
				if c.width >= 80 && utf8.RuneCountInString(line) > c.width && c.o.pod == "" {
					t.Errorf("the line has %d columns: %s", utf8.RuneCountInString(line), line)
				}
				if c.width == 0 && strings.Contains(line, "…") {
					t.Errorf("something is cut: %s", line)
				}
			}
		})
	}
	var text bytes.Buffer
	printTables(shownState{}, noon, 80, &text)
	if text.String() != "There is no network, and no pod.\n" {
		t.Errorf("an empty node: %s", text.String())
	}
}

func TestWhatShowIsAskedFor(t *testing.T) {
	t.Parallel()
	s := nodeWith(4)
	for name, c := range map[string]struct {
		o     options
		pods  int
		fails string
	}{
		"all":                            {pods: 5},
		"a pod, in both of its networks": {o: options{pod: "web-0"}, pods: 2},
		"a pod with its namespace":       {o: options{pod: "default/web-0"}, pods: 2},
		"a pod of another namespace":     {o: options{pod: "web-0", namespace: "kube-system"}, fails: "there is no pod or container web-0"},
		"a pod in one network":           {o: options{pod: "web-0", network: "azure"}, pods: 1},
		"a container":                    {o: options{pod: s.Networks[0].Endpoints[0].ContainerID}, pods: 1},
		"the beginning of a container":   {o: options{pod: s.Networks[0].Endpoints[0].ContainerID[:60]}, pods: 1},
		"too little of a container":      {o: options{pod: "0000"}, fails: "there is no pod or container 0000"},
		"a namespace":                    {o: options{namespace: "kube-system"}, pods: 2},
		"a namespace that has nothing":   {o: options{namespace: "nobody"}},
		"a network that is not there": {o: options{network: "azzure"},
			fails: "there is no network azzure; there is azure, backend-of-the-bank"},
		"a network":                        {o: options{network: "backend-of-the-bank"}, pods: 1},
		"a pod of no name is not that one": {o: options{pod: "-"}, fails: "there is no pod or container -"},
	} {
		got, err := c.o.choose(s)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: error %v instead of %q", name, err, c.fails)
			}
			continue
		}
		pods := 0
		for _, n := range got.Networks {
			pods += len(n.Endpoints)
		}
		if err != nil || pods != c.pods {
			t.Errorf("%s: %d pods instead of %d, %v", name, pods, c.pods, err)
		}
	}
}

// The prompt says who loses its network.
func TestCleanupSaysWhatGoes(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	sayWhatGoes(nodeWith(20), &text)
	consoletest.Screen(t, "cleanup", text.String())
}
