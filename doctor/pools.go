package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
)

// viewIPAM reads the state of azure-vnet-ipam. What cannot be read is empty: the check of the state files says so.
func (d *Examination) viewIPAM(ctx context.Context) (state ipam.State) {
	s, err := ipamplugin.OpenStore(d.DataDir, discard)
	if err == nil {
		_ = s.View(ctx, func(have *ipam.State) error {
			state = *have
			return nil
		})
	}
	return state
}

// trial does what an ADD does about addresses, and changes nothing. It is done once for all checks.
// Error: the state cannot be read, or the host's interfaces.
func (d *Examination) trial(ctx context.Context) (ipam.Trial, error) {
	if d.tried == nil {
		t, err := ipamplugin.Try(ctx, d.ipamConf(ctx), d.DataDir, discard)
		d.tried = &tried{t, err}
	}
	return d.tried.Trial, d.tried.err
}

type tried struct {
	ipam.Trial
	err error
}

// ipamConf is what azure-vnet-ipam gets; without a configuration what asks the source as commands did before.
func (d *Examination) ipamConf(ctx context.Context) []byte {
	if d.common != nil {
		return d.node.ipam
	}
	environment, from := d.from(d.viewIPAM(ctx).Answer)
	section := map[string]string{"type": ipamplugin.Name, "environment": environment, "queryUrl": from}
	if environment == azure.EnvironmentStack {
		section["queryUrl"], section["interfacesFile"] = "", from
	}
	raw, _ := json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": "doctor", "ipam": section}) // strings cannot fail
	return raw
}

// hostAgent is the check of the source of addresses: it answers, and about NICs that are here.
func (d *Examination) hostAgent(ctx context.Context) []finding.Finding {
	const check = "host-agent"
	if !d.OwnAddresses() {
		return finding.Report(check, "addresses come from "+d.conf.IPAM.Type, nil)
	}
	t, err := d.trial(ctx)
	if err != nil {
		return nil // the check of the state files, or of the networks, says so
	}
	_, from := d.from(t.Answer)
	level, then := finding.Failure, "no address is known that could be given"
	if t.Err == nil {
		level, then = finding.Warning, "known addresses serve as long as there are free ones"
	}
	var wrong []finding.Finding
	switch {
	case t.Source != nil:
		remedy := strings.ReplaceAll(ipamplugin.Explain(t.Source).Details, azure.HostAgentURL, from)
		wrong = append(wrong, finding.Finding{Level: level, Found: fmt.Sprintf("%v: %s", t.Source, then), Remedy: remedy})
	case len(t.Space.Unmatched) > 0:
		if !errors.Is(t.Err, ipam.ErrNoPool) {
			level = finding.Warning
		}
		wrong = append(wrong, finding.Finding{Level: level,
			Found: fmt.Sprintf("%s lists NICs that this host does not have (%s): their addresses are given to no pod", from,
				strings.Join(t.Space.Unmatched, ", ")),
			Remedy: ipamplugin.Explain(ipam.ErrForeign).Details})
	}
	addresses := 0
	for _, p := range t.Space.Pools {
		addresses += p.Capacity()
	}
	return finding.Report(check, fmt.Sprintf("%s answers, and lists %d addresses for pods", from, addresses), wrong)
}

// pools is the check of the addresses that are left, and whether an ADD would get one.
func (d *Examination) pools(ctx context.Context) []finding.Finding {
	const check = "pools"
	if !d.OwnAddresses() {
		return finding.Report(check, "addresses come from "+d.conf.IPAM.Type, nil)
	}
	t, err := d.trial(ctx)
	if err != nil {
		return nil
	}
	var well []string
	var wrong []finding.Finding
	told := t.Source != nil && len(t.Space.Pools) == 0 // the check of the source has
	for _, p := range t.Space.Pools {
		text := fmt.Sprintf("pool %s on %s%s: %d of %d addresses are free", p.Prefix, p.Interface, users(t.Space, p),
			p.Available(), p.Capacity())
		const low = 10 // percent of the pool
		switch {
		case p.Absent:
			wrong = append(wrong, finding.Finding{Level: finding.Warning,
				Found: fmt.Sprintf("pool %s is of the NIC with MAC %s, which this host does not have: no pod gets an "+
					"address of it", p.Prefix, p.MAC), Remedy: ipamplugin.Explain(ipam.ErrForeign).Details})
		case p.Capacity() == 0: // the host's own subnet, on a NIC without addresses for pods
		case p.Available() == 0:
			level := finding.Warning
			if errors.Is(t.Err, ipam.ErrFull) {
				level, told = finding.Failure, true
			}
			wrong = append(wrong, finding.Finding{Level: level, Found: text,
				Remedy: ipamplugin.Explain(ipam.ErrExhausted).Details})
		case p.Available()*100 < p.Capacity()*low:
			wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: text,
				Remedy: "assign more addresses to the NIC (docs/ipam.md) before they run out"})
		default:
			well = append(well, text)
		}
	}
	if t.Err != nil && !told {
		said := ipamplugin.Explain(t.Err)
		wrong = append(wrong, finding.Finding{Level: finding.Failure,
			Found: fmt.Sprintf("the next pod gets no address (code %d): %s", said.Code, said.Msg), Remedy: said.Details})
	}
	return finding.Report(check, cmp.Or(strings.Join(well, "; "), "none is known: the source says why"), wrong)
}

// users names the networks that have the pool to themselves.
func users(space ipam.AddressSpace, p *ipam.Pool) string {
	names := slices.Sorted(space.BoundTo(p))
	if len(names) == 0 {
		return ""
	}
	return " (network " + strings.Join(names, ", ") + ")"
}
