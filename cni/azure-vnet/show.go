package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-container-networking/network"
)

// The JSON schema of "show -o json" (config.md, Operator commands).
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

func shown(s *network.State) shownState {
	out := shownState{Networks: []shownNetwork{}}
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		n := s.Networks[name]
		sn := shownNetwork{Name: n.Name, Mode: n.Mode, Master: n.Master, Bridge: n.Bridge, Prefixes: n.Prefixes, Created: n.Created, Endpoints: []shownEndpoint{}}
		for e := range n.Endpoints.All() {
			sn.Endpoints = append(sn.Endpoints, shownEndpoint{
				ContainerID: e.ContainerID, IfName: e.IfName, PodNamespace: e.PodNamespace, PodName: e.PodName,
				Addresses: e.Addresses, MAC: e.MAC, HostIfName: e.HostIfName, NetNS: e.NetNS, State: e.State, Created: e.Created,
			})
		}
		slices.SortFunc(sn.Endpoints, func(a, b shownEndpoint) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ContainerID, b.ContainerID), cmp.Compare(a.IfName, b.IfName))
		})
		out.Networks = append(out.Networks, sn)
	}
	return out
}

func show(state *network.State, output string, w io.Writer) error {
	s := shown(state)
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	row("NETWORK\tMODE\tMASTER\tBRIDGE\tPREFIXES\tSINCE")
	for _, n := range s.Networks {
		row("%s\t%s\t%s\t%s\t%s\t%s", n.Name, n.Mode, n.Master, n.Bridge, join(n.Prefixes), n.Created.Local().Format(time.DateTime))
	}
	row("\nPOD\tCONTAINER\tINTERFACE\tADDRESSES\tHOST VETH\tSTATE\tSINCE")
	for _, n := range s.Networks {
		for _, e := range n.Endpoints {
			pod := "-"
			if e.PodName != "" {
				pod = e.PodNamespace + "/" + e.PodName
			}
			row("%s\t%.13s\t%s\t%s\t%s\t%s\t%s", pod, e.ContainerID, e.IfName, join(e.Addresses), e.HostIfName, e.State, e.Created.Local().Format(time.DateTime))
		}
	}
	return t.Flush()
}

func join(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return strings.Join(out, ",")
}
