package hns

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
)

// What HNS does not have, or has too much, doctor says, and that HNS does not answer.
func TestDoctorAsksHNS(t *testing.T) {
	const id = "e1"
	for name, c := range map[string]struct {
		harm  func(v1, v2 *fakeHNS)
		level network.Level
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
		}, level: network.Failure, check: "hns", found: "RPC server"},
		"the network is gone":   {harm: func(_, v2 *fakeHNS) { v2.networks, v2.names = nil, nil }, level: network.Failure, check: "hns", found: "no network azure"},
		"a pod's endpoint is":   {harm: func(_, v2 *fakeHNS) { v2.endpoints = nil }, level: network.Failure, check: "endpoints", found: "HNS has no endpoint"},
		"a pod is not attached": {harm: func(_, v2 *fakeHNS) { v2.endpoints[0].Places = nil }, level: network.Failure, check: "endpoints", found: "is not attached"},
		"an endpoint is nobody's": {harm: func(_, v2 *fakeHNS) {
			v2.endpoints = append(v2.endpoints, hnsEndpoint{ID: "x", Name: "lost-eth0", NetworkID: "net"})
		}, level: network.Warning, check: "leftovers", found: "lost-eth0"},
		"somebody may live there": {harm: func(_, v2 *fakeHNS) {
			v2.endpoints = append(v2.endpoints, hnsEndpoint{ID: "x", Name: "lost-eth0", NetworkID: "net", Places: []string{"n"}})
		}, level: network.Warning, check: "leftovers", found: "attached to [n]"},
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
				if f.Level == network.OK {
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
