package networks

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
)

// AboutPod implements doctor.Networks. It leaves of what was found what is wrong with the host, and what is about one
// pod: its name, namespace/name, or the beginning of its container's ID.
func (all) AboutPod(ctx context.Context, d *doctor.Examination, found []finding.Finding) []finding.Finding {
	const check = "pod"
	var out []finding.Finding
	var mine []*network.Endpoint
	s, err := netplugin.OpenStore(d.DataDir, discard)
	if err == nil {
		err = s.View(ctx, func(state *network.State) error {
			for _, n := range state.Networks {
				for e := range n.Endpoints.All() {
					if names(e, d.Pod) {
						mine = append(mine, e)
					}
				}
			}
			return nil
		})
	}
	if err == nil && len(mine) == 0 {
		out = finding.Report(check, "",
			[]finding.Finding{{Level: finding.Failure, Found: d.Pod + " has no attachment on this node",
				Remedy: "azure-vnet show lists those that have one; the log says why an ADD failed: grep -F " + d.Pod +
					" " + d.LogFile}})
	}
	for _, e := range mine {
		out = append(out, finding.Report(check, fmt.Sprintf("%s: host veth %s, %s", e.Who(), e.HostIfName, e.State), nil)...)
	}
	for _, f := range found {
		about := func(e *network.Endpoint) bool { return strings.Contains(f.Found, e.ContainerID) }
		switch f.Check {
		case "endpoints", "addresses", "leftovers":
			for _, e := range mine {
				if about(e) {
					out = append(out, f)
				}
			}
		default:
			if f.Level != finding.OK {
				out = append(out, f)
			}
		}
	}
	return out
}

// names says whether a person means this endpoint.
func names(e *network.Endpoint, pod string) bool {
	const enough = 4 // characters of an ID
	return pod == e.PodName || pod == e.PodNamespace+"/"+e.PodName || pod == e.ContainerID || len(pod) >= enough &&
		strings.HasPrefix(e.ContainerID, pod)
}
