package operator

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
)

// cleanup takes networks away and restores the host. It changes something, so it asks.
func cleanup(ctx context.Context, o options, dirs []string, stdin io.Reader, stdout io.Writer) error {
	there := map[string]shownState{} // by folder
	var names []string
	chosen := 0
	for _, dir := range dirs {
		s, err := shownIn(ctx, []string{dir}, o.logger)
		if err != nil {
			return err
		}
		for _, n := range s.Networks {
			names = append(names, n.Name)
			if o.network == "" || o.network == n.Name {
				s := there[dir]
				s.Networks = append(s.Networks, n)
				there[dir] = s
				chosen++
			}
		}
	}
	lost, err := onHostOnly(ctx, o, dirs[0], names)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		s := there[dirs[0]]
		s.Networks = append(s.Networks, lost...)
		there[dirs[0]] = s
		chosen += len(lost)
	}
	switch {
	case chosen == 0 && o.network != "":
		return forget(ctx, o, dirs[0], names, stdout)
	case chosen == 0 && !o.classic:
		_, _ = fmt.Fprintln(stdout, "There is no network to clean up.")
		return nil
	}
	for _, dir := range dirs {
		sayWhatGoes(there[dir], stdout)
	}
	if o.classic {
		if err := remains(ctx, o, dirs[0], false, stdout); err != nil && chosen == 0 {
			return err
		}
	}
	if o.dryRun {
		_, _ = fmt.Fprintln(stdout, "This is a dry run: nothing was changed.")
		return nil
	}
	if err := confirm(ctx, o, stdin, stdout); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := cleanupIn(ctx, o, dir, there[dir], stdout); err != nil {
			return err
		}
	}
	if o.classic {
		return remains(ctx, o, dirs[0], true, stdout)
	}
	return nil
}

// onHostOnly are networks that the host has and no state: the one that is named, or those of the configurations, and
// those that have pods by their names.
func onHostOnly(ctx context.Context, o options, dir string, known []string) (lost []shownNetwork, err error) {
	m, err := netplugin.NewManager(dir, o.logger)
	if err != nil {
		return nil, err
	}
	wanted := []string{o.network}
	if o.network == "" {
		if wanted, err = m.Dataplane.Networks(ctx); err != nil {
			return nil, err
		}
		wanted = append(wanted, doctor.NetworkNames()...)
	}
	for _, name := range wanted {
		if slices.Contains(known, name) {
			continue
		}
		there, err := m.Dataplane.There(ctx, name)
		if err != nil {
			return nil, err
		}
		if there {
			lost, known = append(lost, shownNetwork{Name: name}), append(known, name)
		}
	}
	return lost, nil
}

// remains takes away what the classic plugin left, or says what there is.
func remains(ctx context.Context, o options, dir string, remove bool, stdout io.Writer) error {
	m, err := netplugin.NewManager(dir, o.logger)
	if err != nil {
		return err
	}
	if remove {
		claim, cerr := m.ClaimAll(ctx)
		if cerr != nil {
			return cerr
		}
		defer claim.Release()
	}
	list, err := m.Remains(ctx, remove)
	for _, r := range list {
		_, _ = fmt.Fprintf(stdout, "%s: %s\n",
			map[bool]string{false: "left by the classic plugin", true: "taken away"}[remove], r)
	}
	if len(list) == 0 && err == nil && !remove {
		_, _ = fmt.Fprintln(stdout, "Nothing of the classic plugin's is left.")
	}
	return err
}

// sayWhatGoes names the pods that lose their network, as many as one reads.
func sayWhatGoes(s shownState, w io.Writer) {
	const most = 10
	for _, n := range s.Networks {
		_, _ = fmt.Fprintf(w, "Network %s goes, and with it that of its pods, %d of them.\n", n.Name, len(n.Endpoints))
		for i, e := range n.Endpoints {
			if i == most {
				_, _ = fmt.Fprintf(w, "  and %d more\n", len(n.Endpoints)-most)
				break
			}
			_, _ = fmt.Fprintf(w, "  %s\n", cmp.Or(strings.TrimPrefix(e.pod(), "-"), e.ContainerID))
		}
	}
	if len(s.Networks) > 0 {
		_, _ = fmt.Fprintln(w, "The host gets its configuration back.")
	}
}

// cleanupIn takes away networks whose state is in one folder.
func cleanupIn(ctx context.Context, o options, dir string, s shownState, stdout io.Writer) error {
	m, err := netplugin.NewManager(dir, o.logger)
	if err != nil {
		return err
	}
	claim, err := m.ClaimAll(ctx)
	if err != nil {
		return err
	}
	defer claim.Release()
	for _, n := range s.Networks {
		giver, pods, err := m.Given(ctx, n.Name)
		if err != nil {
			return err
		}
		collected, err := m.Cleanup(ctx, n.Name)
		_, _ = fmt.Fprintf(stdout, "%s: %d endpoints removed\n", n.Name, collected)
		if err == nil {
			err = ipamplugin.Forget(ctx, dir, n.Name, o.logger)
		}
		if err != nil {
			return fmt.Errorf("clean up %s: %w", n.Name, err)
		}
		if giver != nil {
			if who, err := netplugin.GiveBack(ctx, giver, pods); err != nil {
				return fmt.Errorf("clean up %s: the host is as it was, but %s still has addresses of its pods: %w",
					n.Name, who, err)
			}
		}
		_, _ = fmt.Fprintf(stdout, "%s: the host is as it was, the addresses are free\n", n.Name)
	}
	return nil
}

// forget ends the binding of a network that azure-vnet does not have: another plugin's, or one that is gone. Its
// containers keep their addresses: nobody here knows whether they live.
func forget(ctx context.Context, o options, dir string, networks []string, stdout io.Writer) error {
	held, bound, err := ipamplugin.Known(ctx, dir, o.network, o.logger)
	switch {
	case err != nil:
		return err
	case held > 0:
		return fmt.Errorf("network %s is not one of azure-vnet's, and its containers hold %d addresses: delete those by "+
			"their own plugin; azure-vnet-ipam show lists them", o.network, held)
	case !bound:
		return noNetwork(o.network, networks)
	case o.dryRun:
		_, _ = fmt.Fprintf(stdout, "%s: its addresses would be free for other networks\n", o.network)
		return nil
	}
	if err := ipamplugin.Forget(ctx, dir, o.network, o.logger); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "%s: its addresses are free for other networks\n", o.network)
	return nil
}
