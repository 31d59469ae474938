package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
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
			err = freeAddresses(ctx, n, o.dir)
		}
		if err != nil {
			return fmt.Errorf("clean up %s: %w", n, err)
		}
		_, _ = fmt.Fprintf(stdout, "%s: the host is as it was, the addresses are free\n", n)
	}
	return nil
}

// freeAddresses lets the IPAM plugin beside us free what the network holds, by its own command for that.
func freeAddresses(ctx context.Context, network, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	conf, err := json.Marshal(map[string]any{
		"cniVersion": "1.1.0", "name": network, "type": name, "dataDir": dir, "logFile": "stderr", "logLevel": "error",
		"ipam": map[string]string{"type": "azure-vnet-ipam"}, "cni.dev/valid-attachments": []any{},
	})
	if err != nil {
		return err
	}
	bin := filepath.Dir(self)
	plugin, err := invoke.FindInPath("azure-vnet-ipam", []string{bin})
	if err != nil {
		return fmt.Errorf("free the addresses: %w", err)
	}
	return invoke.ExecPluginWithoutResult(ctx, plugin, conf, &invoke.Args{Command: "GC", Path: bin}, nil)
}
