package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/doctor/networks"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network/linux"
)

// hostRelease takes the addresses that Azure assigned for pods off the host's interfaces, tells cloud-init to leave
// them, and says who else would bring them back. root is where the host's files are.
func hostRelease(ctx context.Context, o options, stdin io.Reader, stdout io.Writer, root string) error {
	d := networks.New(o.examined())
	for _, f := range d.Locate() {
		if f.Level != finding.OK && o.config != "" {
			return errors.New(f.Found)
		}
	}
	found, space, err := d.Strays(ctx)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(stdout, format+"\n", args...) }
	if len(space.Pools) == 0 {
		say("No address is known that is for pods: there is nothing to release.")
		return nil
	}
	var taken []doctor.Stray
	for _, s := range found {
		if s.Own {
			say("%s stays on %s: the host has no other address of its own there.", s.Address, s.At)
			continue
		}
		taken = append(taken, s)
	}
	files := hostFiles{root}
	if len(taken) == 0 && !files.cloudInitTakesAll() {
		say("The host has no address to release.")
		files.sayWhoBringsBack(space, say)
		return nil
	}
	if err := announce(taken, files, say); err != nil {
		say("Who uses them could not be found out: %v", err)
	}
	if err := confirm(ctx, o, stdin, stdout); err != nil {
		return err
	}
	// What was asked may have been thought over for long.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := release(taken); err != nil {
		return err
	}
	for _, s := range taken {
		say("%s is off %s.", s.Address, s.At)
	}
	err = errors.Join(renew(ctx, d.DataDir, o), files.tellCloudInit(say))
	files.sayWhoBringsBack(space, say)
	return err
}

// announce says what will be done, and whom it concerns.
func announce(taken []doctor.Stray, files hostFiles, say func(string, ...any)) error {
	uses, err := linux.HostUses(addressesOf(taken))
	if len(taken) > 0 {
		say("Azure assigned these addresses for pods, but the host has them; this takes them off the host:")
	}
	for _, s := range taken {
		say("  %s on %s", s.Address, s.At)
		for _, use := range uses[s.Address.Addr()] {
			say("      in use by the host: %s", use)
		}
	}
	if files.cloudInitTakesAll() {
		say("This tells cloud-init to leave them to pods (%s).", cloudInitFile)
	}
	return err
}

func addressesOf(list []doctor.Stray) (addrs []netip.Addr) {
	for _, s := range list {
		addrs = append(addrs, s.Address.Addr())
	}
	return addrs
}

// release takes them off whatever interfaces have them.
func release(taken []doctor.Stray) error {
	if len(taken) == 0 {
		return nil
	}
	interfaces := map[string]bool{}
	for _, s := range taken {
		interfaces[s.At] = true
	}
	if err := linux.ReleaseHostAddresses(addressesOf(taken), slices.Sorted(maps.Keys(interfaces))); err != nil {
		return fmt.Errorf("take addresses off the host: %w", err)
	}
	return nil
}

// renew lets the networks that are there know that the addresses are not the host's any more.
func renew(ctx context.Context, dir string, o options) error {
	m, err := netplugin.NewManager(dir, o.logger)
	if err == nil {
		_, err = m.Repair(ctx)
	}
	if err != nil {
		return fmt.Errorf("the addresses are off the host, but its rules are as before until the next ADD: %w", err)
	}
	return nil
}
