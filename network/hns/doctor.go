package hns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
)

// lookTime is what doctor waits for a call of HNS.
const lookTime = 10 * time.Second

// Examine implements network.Dataplane.
func (w *Dataplane) Examine(networks []*network.Network) []finding.Finding {
	look := *w
	look.Limit = min(w.Limit, lookTime)
	if look.Limit == 0 {
		look.Limit = lookTime
	}
	ctx := context.Background() // each call is bounded
	if err := look.answers(ctx); err != nil {
		return finding.Report("hns", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(),
				Remedy: "Get-Service hns; Restart-Service hns; and see that the feature Containers is installed: " +
					"Get-WindowsFeature Containers"}})
	}
	out := finding.Report("hns", "HNS answers", nil)
	for _, n := range networks {
		if n.HNSID != "" {
			out = append(out, look.examineNetwork(ctx, n)...)
		}
	}
	return out
}

// answers says whether HNS does, in either version.
func (w *Dataplane) answers(ctx context.Context) error {
	err := tell(ctx, w, "ask for HCN", func() error { return w.v2.Supported(false) })
	if err != nil && errors.Is(err, network.ErrKernel) { // an older Windows: v1 has no such question
		_, err = w.network(ctx, w.v1, "azure-vnet-doctor")
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// examineNetwork compares the network and its endpoints with what HNS has.
func (w *Dataplane) examineNetwork(ctx context.Context, n *network.Network) []finding.Finding {
	h := w.anyAPI(ctx, "")
	found, err := w.network(ctx, h, n.Name)
	if errors.Is(err, errGone) {
		return finding.Report("hns", "",
			[]finding.Finding{{Level: finding.Failure, Found: "HNS has no network " + n.Name + ": its pods have no network",
				Remedy: "restart the pods of this node: the first one makes the network anew"}})
	}
	if err != nil {
		return finding.Report("hns", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(), Remedy: "Restart-Service hns"}})
	}
	var wrong []finding.Finding
	known := map[string]bool{}
	for e := range n.Endpoints.All() {
		if e.HNS != nil {
			known[strings.ToLower(e.HNS.ID)] = true
		}
		if e.State != network.Ready {
			wrong = append(wrong, finding.Finding{Level: finding.Warning,
				Found: e.Who() + ": an ADD did not end, or is under way", Owner: (*finding.Owner)(&e.Owner), Transient: true})
			continue
		}
		if err := w.CheckEndpoint(ctx, n, e); err != nil {
			wrong = append(wrong, finding.Finding{Level: finding.Failure, Found: fmt.Sprintf("%s: %v", e.Who(), err),
				Remedy: "restart the pod", Transient: true})
		}
	}
	list, err := ask(ctx, w, "list endpoints of "+n.Name, func() ([]hnsEndpoint, error) { return h.EndpointsOf(found.ID) })
	if err != nil {
		wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: err.Error(), Remedy: "Restart-Service hns"})
	}
	strays := slices.DeleteFunc(list, func(e hnsEndpoint) bool { return known[strings.ToLower(e.ID)] })
	var left []finding.Finding
	for _, e := range strays {
		f := finding.Finding{Level: finding.Warning, Transient: true,
			Found: fmt.Sprintf("HNS has endpoint %s (%s) %v on network %s, which no pod that is known has",
				e.Name, e.ID, e.Addresses, n.Name),
			Remedy: "Get-HnsEndpoint | Where-Object Id -eq " + e.ID + " | Remove-HnsEndpoint"}
		if len(e.Places) > 0 { // somebody may live there
			f.Found += fmt.Sprintf(", and which is attached to %v", e.Places)
			f.Remedy = "if that container lives, delete its pod; else " + f.Remedy
		}
		left = append(left, f)
	}
	return append(finding.Report("endpoints",
		fmt.Sprintf("%d endpoints of network %s are as they were made", n.Endpoints.Len(), n.Name), wrong),
		finding.Report("leftovers", "HNS has no endpoint of a pod that is not known", left)...)
}
