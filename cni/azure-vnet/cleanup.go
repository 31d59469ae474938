package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni/ipamplugin"
)

// cleanup takes networks away and restores the host. It changes something, so it asks.
func cleanup(ctx context.Context, o options, stdin io.Reader, stdout io.Writer) error {
	m, err := newManager(o.dir, o.logger)
	if err != nil {
		return err
	}
	networks, err := m.Networks(ctx)
	if err != nil {
		return err
	}
	slices.Sort(networks)
	if o.network != "" {
		if !slices.Contains(networks, o.network) {
			return forget(ctx, o, networks, stdout)
		}
		networks = []string{o.network}
	}
	if len(networks) == 0 {
		_, _ = fmt.Fprintln(stdout, "There is no network to clean up.")
		return nil
	}
	_, _ = fmt.Fprintf(stdout, "This disconnects all pods of %s and gives the host its configuration back.\n", strings.Join(networks, ", "))
	if err := confirm(ctx, o, stdin, stdout); err != nil {
		return err
	}
	claim, err := m.ClaimAll(ctx)
	if err != nil {
		return err
	}
	defer claim.Release()
	for _, n := range networks {
		collected, err := m.Cleanup(ctx, n)
		_, _ = fmt.Fprintf(stdout, "%s: %d endpoints removed\n", n, collected)
		if err == nil {
			err = ipamplugin.Forget(ctx, o.dir, n, o.logger)
		}
		if err != nil {
			return fmt.Errorf("clean up %s: %w", n, err)
		}
		_, _ = fmt.Fprintf(stdout, "%s: the host is as it was, the addresses are free\n", n)
	}
	return nil
}

// forget ends the binding of a network that azure-vnet does not have: another plugin's, or one that is gone. Its containers keep their addresses:
// nobody here knows whether they live.
func forget(ctx context.Context, o options, networks []string, stdout io.Writer) error {
	held, bound, err := ipamplugin.Known(ctx, o.dir, o.network, o.logger)
	switch {
	case err != nil:
		return err
	case held > 0:
		return fmt.Errorf("network %s is not one of azure-vnet's, and its containers hold %d addresses: delete those by their own plugin; azure-vnet-ipam show lists them", o.network, held)
	case !bound:
		return fmt.Errorf("there is no network %s; there is %s", o.network, cmp.Or(strings.Join(networks, ", "), "none"))
	}
	if err := ipamplugin.Forget(ctx, o.dir, o.network, o.logger); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "%s: its addresses are free for other networks\n", o.network)
	return nil
}
