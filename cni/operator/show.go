package operator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni/console"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/network"
)

// The JSON schema of "show -o json" (docs/cni.md, For a person).
type (
	shownState struct {
		Networks []shownNetwork `json:"networks"`
	}
	shownNetwork struct {
		Name      string          `json:"name"`
		Mode      network.Mode    `json:"mode"`
		Master    string          `json:"master"`
		Bridge    string          `json:"bridge"`
		Prefixes  []netip.Prefix  `json:"prefixes"`
		Created   time.Time       `json:"created"`
		Endpoints []shownEndpoint `json:"endpoints"`
	}
	shownEndpoint struct {
		ContainerID  string         `json:"containerID"`
		IfName       string         `json:"ifName"`
		PodNamespace string         `json:"podNamespace"`
		PodName      string         `json:"podName"`
		Addresses    []netip.Prefix `json:"addresses"`
		MAC          string         `json:"mac"`
		HostIfName   string         `json:"hostIfName"`
		NetNS        string         `json:"netns"`
		State        string         `json:"state"`
		Created      time.Time      `json:"created"`
	}
)

// gone is the state of an endpoint that is not there any more, though nobody called DEL.
const gone = "gone"

// shown is the state as it is shown; isGone says of which endpoints nothing is there.
func shown(s *network.State, isGone func(*network.Endpoint) bool) shownState {
	out := shownState{Networks: []shownNetwork{}}
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		n := s.Networks[name]
		sn := shownNetwork{Name: n.Name, Mode: n.Mode, Master: n.Master, Bridge: n.Bridge, Prefixes: n.Prefixes,
			Created: n.Created, Endpoints: []shownEndpoint{}}
		endpoints := slices.SortedFunc(n.Endpoints.All(),
			func(a, b *network.Endpoint) int { // of pointers: sorting the structs made the program 20 KB larger
				return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ContainerID, b.ContainerID),
					cmp.Compare(a.IfName, b.IfName))
			})
		for _, e := range endpoints {
			state := e.State
			if isGone(e) {
				state = gone
			}
			sn.Endpoints = append(sn.Endpoints, shownEndpoint{
				ContainerID: e.ContainerID, IfName: e.IfName, PodNamespace: e.PodNamespace, PodName: e.PodName,
				Addresses: e.Addresses, MAC: e.MAC, HostIfName: e.HostIfName, NetNS: e.NetNS, State: state, Created: e.Created,
			})
		}
		out.Networks = append(out.Networks, sn)
	}
	return out
}

// show prints what the state in the folders says, as far as it was asked for.
func show(ctx context.Context, o options, dirs []string, w io.Writer) error {
	s, err := shownIn(ctx, dirs, o.logger)
	if err != nil {
		return err
	}
	if s, err = o.choose(s); err != nil {
		return err
	}
	if o.output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	text := &bytes.Buffer{}
	width := console.Width(w)
	if o.output == "wide" {
		width = 0
	}
	if o.pod != "" {
		printPods(s, time.Now(), text)
	} else {
		printTables(s, time.Now(), width, text)
	}
	_, err = w.Write(text.Bytes())
	return err
}

// shownIn reads the states of several folders.
func shownIn(ctx context.Context, dirs []string, logger *slog.Logger) (all shownState, err error) {
	all.Networks = []shownNetwork{}
	for _, dir := range dirs {
		m, err := netplugin.NewManager(dir, logger)
		if err != nil {
			return all, err
		}
		err = m.Store.View(ctx, func(state *network.State) error {
			isGone := func(e *network.Endpoint) bool { return m.Gone(ctx, e) }
			all.Networks = append(all.Networks, shown(state, isGone).Networks...)
			return nil
		})
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// choose leaves out what was not asked for. A network or a pod that is not there is an error: whoever names one
// believes that it is.
func (o options) choose(s shownState) (shownState, error) {
	chosen := shownState{Networks: []shownNetwork{}}
	var names []string
	pods := 0
	for _, n := range s.Networks {
		names = append(names, n.Name)
		if o.network != "" && o.network != n.Name {
			continue
		}
		n.Endpoints = slices.DeleteFunc(slices.Clone(n.Endpoints), func(e shownEndpoint) bool { return !o.wants(e) })
		pods += len(n.Endpoints)
		if len(n.Endpoints) > 0 || o.pod == "" && o.namespace == "" {
			chosen.Networks = append(chosen.Networks, n)
		}
	}
	switch {
	case o.network != "" && !slices.Contains(names, o.network):
		return chosen, noNetwork(o.network, names)
	case o.pod != "" && pods == 0:
		return chosen, fmt.Errorf("there is no pod or container %s on this node", o.pod)
	}
	return chosen, nil
}

func noNetwork(name string, there []string) error {
	return fmt.Errorf("there is no network %s; there is %s", name, cmp.Or(strings.Join(there, ", "), "none"))
}

// wants says whether an endpoint was asked for: by its pod, with the namespace or without, or by the beginning of its
// container's ID.
func (o options) wants(e shownEndpoint) bool {
	const enough = 8 // digits of a container's ID
	named := o.pod == "" || o.pod == e.PodName || o.pod == e.pod() || len(o.pod) >= enough &&
		strings.HasPrefix(e.ContainerID, o.pod)
	return named && (o.namespace == "" || o.namespace == e.PodNamespace)
}

func (e shownEndpoint) pod() string {
	if e.PodName == "" {
		return "-"
	}
	return e.PodNamespace + "/" + e.PodName
}

func printTables(s shownState, now time.Time, width int, w io.Writer) {
	if len(s.Networks) == 0 {
		_, _ = fmt.Fprintln(w, "There is no network, and no pod.")
		return
	}
	networks := console.Table{Columns: []console.Column{
		{Head: "NETWORK", Long: true}, {Head: "MODE"}, {Head: "MASTER"}, {Head: "BRIDGE", Spare: 1},
		{Head: "PREFIXES", Long: true}, {Head: "PODS"}, {Head: "SINCE", Spare: 2}, {Head: "AGE"},
	}}
	spareState := 2
	for _, n := range s.Networks {
		if slices.ContainsFunc(n.Endpoints, func(e shownEndpoint) bool { return e.State != network.Ready }) {
			spareState = 0 // it says something
		}
	}
	pods := console.Table{Columns: []console.Column{
		{Head: "POD", Long: true}, {Head: "NETWORK", Long: true}, {Head: "CONTAINER", Spare: 6},
		{Head: "INTERFACE", Spare: 1}, {Head: "ADDRESSES", Long: true}, {Head: "MAC", Spare: 5},
		{Head: "HOST VETH", Spare: 3},
		{Head: "STATE", Spare: spareState}, {Head: "SINCE", Spare: 4}, {Head: "AGE"},
	}}
	for _, n := range s.Networks {
		networks.Add(n.Name, string(n.Mode), n.Master, n.Bridge, join(n.Prefixes), strconv.Itoa(len(n.Endpoints)),
			at(n.Created), console.Age(now.Sub(n.Created)))
		for _, e := range n.Endpoints {
			addresses := join(e.Addresses)
			if width > 0 { // their length is that of the network's prefixes
				addresses = prefixLength().ReplaceAllString(addresses, "")
			}
			pods.Add(e.pod(), n.Name, e.ContainerID, e.IfName, addresses, e.MAC, e.HostIfName, e.State, at(e.Created),
				console.Age(now.Sub(e.Created)))
		}
	}
	missing := networks.Write(w, width)
	if pods.Len() > 0 {
		_, _ = fmt.Fprintln(w)
		missing = pods.Write(w, width) || missing
	}
	if missing {
		_, _ = fmt.Fprintf(w, "\n%s\n",
			console.Wrap("Some columns do not fit: -o wide has all, and show POD all about one pod.", width, "  "))
	}
}

var prefixLength = lazily(`/\d+`)

// printPods prints all that is known of pods.
func printPods(s shownState, now time.Time, w io.Writer) {
	between := ""
	for _, n := range s.Networks {
		for _, e := range n.Endpoints {
			_, _ = fmt.Fprint(w, between)
			between = "\n"
			t := console.Table{Columns: []console.Column{{}, {}}, Bare: true}
			t.Add("Pod:", e.pod())
			t.Add("Network:", fmt.Sprintf("%s (%s on %s)", n.Name, n.Mode, strings.TrimSuffix(n.Master+", "+n.Bridge, ", ")))
			t.Add("Container:", e.ContainerID)
			t.Add("Interface:", e.IfName)
			t.Add("Addresses:", join(e.Addresses))
			t.Add("MAC:", e.MAC)
			t.Add("Host veth:", e.HostIfName)
			t.Add("Netns:", e.NetNS)
			t.Add("State:", e.State)
			t.Add("Since:", fmt.Sprintf("%s (%s)", at(e.Created), console.Age(now.Sub(e.Created))))
			_ = t.Write(w, 0)
		}
	}
}

// at is a time as the log has it.
func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func join(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}
