package ipamplugin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni/console"
	"github.com/Azure/azure-container-networking/ipam"
)

// The JSON schema of "show -o json" (docs/cni.md, For a person).
type (
	shownState struct {
		Source    shownSource `json:"source"`
		Pools     []shownPool `json:"pools"`
		Unmatched []string    `json:"unmatched,omitempty"` // MACs of the source's answer that no NIC here has
	}
	shownSource struct {
		Environment string    `json:"environment"`
		LastRefresh time.Time `json:"lastRefresh,omitzero"`
		URL         string    `json:"url"`
		Failure     string    `json:"failure,omitempty"`
	}
	shownPool struct {
		Prefix       string             `json:"prefix"`
		Interface    string             `json:"interface"`
		MAC          string             `json:"mac"`
		Gateway      string             `json:"gateway"`
		Capacity     int                `json:"capacity"`
		Used         int                `json:"used"`
		Available    int                `json:"available"`
		Networks     []string           `json:"networks,omitempty"` // that are bound to it
		Reservations []shownReservation `json:"reservations"`
	}
	shownReservation struct {
		Address netip.Addr `json:"address"`
		ipam.Owner
		Pod     string    `json:"pod,omitempty"` // namespace/name
		Created time.Time `json:"created"`
	}
)

func shown(s *ipam.State, pods map[ipam.Owner]string) shownState {
	out := shownState{
		Source: shownSource{s.Answer.Environment, s.Answer.Refreshed, s.Answer.URL, s.Answer.Failure},
		Pools:  []shownPool{}, Unmatched: s.Unmatched,
	}
	for _, p := range s.Pools {
		reservations := []shownReservation{}
		for _, r := range p.Reservations {
			reservations = append(reservations, shownReservation{r.Address, r.Owner, pods[r.Owner], r.Created})
		}
		var networks []string
		for _, name := range slices.Sorted(maps.Keys(s.Bindings)) {
			b, id := s.Bindings[name], ipam.PoolID{MAC: p.MAC, Prefix: p.Prefix}
			if b.IPv4 == id || b.IPv6 == id {
				networks = append(networks, name)
			}
		}
		out.Pools = append(out.Pools, shownPool{
			Prefix: p.Prefix.String(), Interface: p.Interface, MAC: p.MAC, Gateway: p.Gateway().String(),
			Capacity: p.Capacity(), Used: len(p.Reservations), Available: p.Available(),
			Networks: networks, Reservations: reservations,
		})
	}
	return out
}

func show(o options, state *ipam.State, w io.Writer) error {
	pods := Pods(o.dir)
	if o.output == "json" {
		return Show(state, pods, w)
	}
	s := shown(state, pods)
	width := console.Width(w)
	if o.output == "wide" {
		width = 0
	}
	text := &bytes.Buffer{}
	tables(s, time.Now(), width, text)
	_, err := w.Write(text.Bytes())
	return err
}

// Show writes the state as JSON, with the pods of the holders as far as they are known.
func Show(state *ipam.State, pods map[ipam.Owner]string, w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(shown(state, pods))
}

func tables(s shownState, now time.Time, width int, w io.Writer) {
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintln(w, console.Wrap(fmt.Sprintf(format, args...), width, "  "))
	}
	if s.Source.LastRefresh.IsZero() {
		say("The source of addresses has not answered yet.")
	} else {
		say("Source %s answered %s ago: %s", s.Source.Environment, console.Age(now.Sub(s.Source.LastRefresh)), s.Source.URL)
	}
	if s.Source.Failure != "" {
		say("The last question failed: %s", s.Source.Failure)
	}
	for _, mac := range s.Unmatched {
		say("It lists MAC %s, which no NIC here has: its addresses are not used.", mac)
	}
	if len(s.Pools) == 0 {
		say("There is no pool.")
		return
	}
	pools := console.Table{Columns: []console.Column{
		{Head: "POOL"}, {Head: "INTERFACE"}, {Head: "MAC", Spare: 3}, {Head: "GATEWAY", Spare: 1}, {Head: "SIZE"},
		{Head: "USED"}, {Head: "FREE"}, {Head: "NETWORKS", Spare: 2, Long: true},
	}}
	holders := console.Table{Columns: []console.Column{
		{Head: "ADDRESS"}, {Head: "POD", Long: true}, {Head: "NETWORK", Long: true}, {Head: "CONTAINER", Spare: 3},
		{Head: "INTERFACE", Spare: 2}, {Head: "SINCE", Spare: 1}, {Head: "AGE"},
	}}
	for _, p := range s.Pools {
		pools.Add(p.Prefix, p.Interface, p.MAC, p.Gateway, strconv.Itoa(p.Capacity), strconv.Itoa(p.Used),
			strconv.Itoa(p.Available), cmp.Or(strings.Join(p.Networks, ","), "-"))
		for _, r := range p.Reservations {
			holders.Add(r.Address.String(), cmp.Or(r.Pod, "-"), cmp.Or(r.Network, "unknown"), cmp.Or(r.ContainerID, "unknown"),
				cmp.Or(r.IfName, "-"), r.Created.UTC().Format(time.RFC3339), console.Age(now.Sub(r.Created)))
		}
	}
	say("")
	missing := pools.Write(w, width)
	if holders.Len() > 0 {
		say("")
		missing = holders.Write(w, width) || missing
	}
	if missing {
		say("")
		say("Some columns do not fit: -o wide has all.")
	}
}
