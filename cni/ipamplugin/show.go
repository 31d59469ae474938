package ipamplugin

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

const usage = `CNI IPAM plugin for Azure virtual networks.

Usage:
  azure-vnet-ipam show [-o json] [--data-dir DIR]   pools, and who holds which address
  azure-vnet-ipam --version
`

// operator runs a command for a person. Exit codes: 0 all is well, 1 a finding or a failure, 2 wrong usage.
func operator(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = fmt.Fprint(stderr, usage) }
	output := flags.String("o", "table", "output: table or json")
	dir := flags.String("data-dir", platform.DefaultDataDir, "folder of the state file")
	if args[0] != "show" || flags.Parse(args[1:]) != nil || flags.NArg() > 0 || *output != "table" && *output != "json" {
		flags.Usage()
		return 2
	}
	s, err := OpenStore(*dir, slog.New(slog.NewTextHandler(stderr, nil)))
	if err == nil {
		err = s.View(ctx, func(state *ipam.State) error { return show(state, *output, stdout) })
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", Name, err)
		return 1
	}
	return 0
}

// The JSON schema of "show -o json" (config.md, Operator commands).
type (
	shownState struct {
		Source shownSource `json:"source"`
		Pools  []shownPool `json:"pools"`
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
		Gateway      string             `json:"gateway"`
		Capacity     int                `json:"capacity"`
		Used         int                `json:"used"`
		Available    int                `json:"available"`
		Reservations []shownReservation `json:"reservations"`
	}
	shownReservation struct {
		Address netip.Addr `json:"address"`
		ipam.Owner
		Created time.Time `json:"created"`
	}
)

func show(s *ipam.State, output string, w io.Writer) error {
	shown := shownState{
		Source: shownSource{s.Answer.Environment, s.Answer.Refreshed, s.Answer.URL, s.Answer.Failure},
		Pools:  []shownPool{},
	}
	for _, p := range s.Pools {
		reservations := []shownReservation{}
		for _, r := range p.Reservations {
			reservations = append(reservations, shownReservation{r.Address, r.Owner(), r.Created()})
		}
		shown.Pools = append(shown.Pools, shownPool{
			Prefix: p.Prefix.String(), Interface: p.Interface, Gateway: p.Gateway().String(),
			Capacity: p.Capacity(), Used: len(p.Reservations), Available: p.Available(),
			Reservations: reservations,
		})
	}
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(shown)
	}
	return table(shown, w)
}

func table(s shownState, w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	if s.Source.LastRefresh.IsZero() {
		row("The source of addresses has not answered yet.")
	} else {
		row("Source %s, %s, answered %s ago.", s.Source.Environment, s.Source.URL, time.Since(s.Source.LastRefresh).Round(time.Second))
	}
	if s.Source.Failure != "" {
		row("The last question failed: %s", s.Source.Failure)
	}
	row("\nPOOL\tINTERFACE\tGATEWAY\tCAPACITY\tUSED\tAVAILABLE")
	for _, p := range s.Pools {
		row("%s\t%s\t%s\t%d\t%d\t%d", p.Prefix, p.Interface, p.Gateway, p.Capacity, p.Used, p.Available)
	}
	row("\nADDRESS\tNETWORK\tCONTAINER\tINTERFACE\tSINCE")
	for _, p := range s.Pools {
		for _, r := range p.Reservations {
			row("%s\t%s\t%.13s\t%s\t%s", r.Address, r.Network, r.ContainerID, r.IfName, r.Created.Local().Format(time.DateTime))
		}
	}
	return t.Flush()
}
