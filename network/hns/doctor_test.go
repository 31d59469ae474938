package hns

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
)

// What HNS does not have, or has too much, doctor says, and that HNS does not answer.
func TestDoctorAsksHNS(t *testing.T) {
	const id = "e1"
	for name, c := range map[string]struct {
		harm  func(v1, v2 *fakeHNS)
		level finding.Level
		check string
		found string
	}{
		"all is well": {harm: func(_, _ *fakeHNS) {}},
		"an older Windows": {harm: func(v1, v2 *fakeHNS) {
			v2.supported = network.ErrKernel
			*v1, v2.endpoints = fakeHNS{networks: v2.networks, names: v2.names, endpoints: v2.endpoints}, nil
		}},
		"HNS does not answer": {harm: func(_, v2 *fakeHNS) {
			v2.fail = map[string]error{"supported": errors.New("RPC server is unavailable")}
		}, level: finding.Failure, check: "hns", found: "RPC server"},
		"the network is gone": {harm: func(_, v2 *fakeHNS) { v2.networks, v2.names = nil, nil }, level: finding.Failure,
			check: "hns", found: "no network azure"},
		"a pod's endpoint is": {harm: func(_, v2 *fakeHNS) { v2.endpoints = nil }, level: finding.Failure, check: "endpoints",
			found: "HNS has no endpoint"},
		"a pod is not attached": {harm: func(_, v2 *fakeHNS) { v2.endpoints[0].Places = nil }, level: finding.Failure,
			check: "endpoints", found: "is not attached"},
		"an endpoint is nobody's": {harm: func(_, v2 *fakeHNS) {
			v2.endpoints = append(v2.endpoints, hnsEndpoint{ID: "x", Name: "lost-eth0", NetworkID: "net"})
		}, level: finding.Warning, check: "leftovers", found: "lost-eth0"},
		"somebody may live there": {harm: func(_, v2 *fakeHNS) {
			v2.endpoints = append(v2.endpoints, hnsEndpoint{ID: "x", Name: "lost-eth0", NetworkID: "net", Places: []string{"n"}})
		}, level: finding.Warning, check: "leftovers", found: "attached to [n]"},
	} {
		t.Run(name, func(t *testing.T) {
			w, v1, v2 := newWindows(t, "")
			n, e := documented()
			n.HNSID, e.NetNS, e.HNS.ID, e.State = "net", namespace, id, network.Ready
			if name == "an older Windows" {
				e.NetNS = "none"
			}
			place := namespace
			if e.NetNS == "none" {
				place = e.ContainerID
			}
			n.Endpoints = network.Endpoints{}
			n.Endpoints.Set(e)
			v2.networks, v2.names = []hnsNetwork{{ID: "net"}}, []string{n.Name}
			v2.endpoints = []hnsEndpoint{{ID: id, Name: nameOf(e.Owner), NetworkID: "net", Addresses: e.Addresses, Places: []string{place}}}
			c.harm(v1, v2)
			var said []string
			hit := false
			for _, f := range w.Examine([]*network.Network{n}) {
				if f.Level == finding.OK {
					continue
				}
				said = append(said, fmt.Sprintf("%+v", f))
				hit = hit || f.Level == c.level && f.Check == c.check && strings.Contains(f.Found, c.found) && f.Remedy != ""
			}
			if hit != (c.level != "") || !hit && len(said) > 0 {
				t.Errorf("doctor says %s", said)
			}
		})
	}
}
