package ipamplugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// manager is that of a person's command: the configuration's, or if there is none, for the source that was asked last.
func (o options) manager(ctx context.Context) (*ipam.Manager, error) {
	conf, err := o.configuration()
	if err != nil {
		return nil, err
	}
	if conf == nil {
		if conf, err = o.remembered(ctx); err != nil {
			return nil, err
		}
	}
	conf.DataDir = o.dir
	return newManager(conf, platform.Host{}, o.logger)
}

// configuration is the first one for the folder of the state; nil if there is none.
func (o options) configuration() (*cni.IPAMConf, error) {
	var sections []cni.Section
	var err error
	if o.config != "" {
		sections, err = cni.Sections(o.config)
	} else {
		sections, err = cni.FindSections(platform.ConfDir)
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(sections, func(s cni.Section) bool {
		return s.IPAM == Name && (o.config != "" || cmp.Or(s.DataDir, platform.DefaultDataDir) == o.dir)
	})
	if i < 0 {
		return nil, nil //nolint:nilnil // none is no failure
	}
	conf, err := cni.ParseIPAMConf(sections[i].Raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sections[i].File, err)
	}
	return conf, nil
}

// remembered is a configuration as it must have been.
func (o options) remembered(ctx context.Context) (*cni.IPAMConf, error) {
	conf := &cni.IPAMConf{}
	s, err := OpenStore(o.dir, o.logger)
	if err != nil {
		return nil, err
	}
	return conf, s.View(ctx, func(state *ipam.State) error {
		conf.IPAM.Environment, conf.IPAM.QueryURL = state.Answer.Environment, state.Answer.URL
		if conf.IPAM.Environment == azure.EnvironmentStack {
			conf.IPAM.InterfacesFile = state.Answer.URL
		}
		return nil
	})
}

// refresh asks the source, and says what that changed.
func refresh(ctx context.Context, o options, stdout io.Writer) error {
	m, err := o.manager(ctx)
	if err != nil {
		return err
	}
	before, err := listed(ctx, m)
	if err != nil {
		return err
	}
	if err := m.Refresh(ctx); err != nil {
		return fmt.Errorf("ask %s: %w", m.URL, err)
	}
	after, err := listed(ctx, m)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stdout, "%s answered.\n", m.URL)
	for _, id := range slices.Sorted(maps.Keys(union(before, after))) {
		was, is := before[id], after[id]
		change := "as before"
		if is.capacity != was.capacity {
			change = fmt.Sprintf("%d before", was.capacity)
		}
		_, _ = fmt.Fprintf(stdout, "%s: %d addresses (%s), %d free\n", id, is.capacity, change, is.free)
	}
	return m.Store.View(ctx, func(s *ipam.State) error {
		for _, mac := range s.Unmatched {
			_, _ = fmt.Fprintf(stdout, "%s: no NIC here has this MAC; its addresses are not used\n", mac)
		}
		return nil
	})
}

type size struct{ capacity, free int }

// listed are the pools' sizes by their names.
func listed(ctx context.Context, m *ipam.Manager) (map[string]size, error) {
	sizes := map[string]size{}
	return sizes, m.Store.View(ctx, func(s *ipam.State) error {
		for _, p := range s.Pools {
			sizes[fmt.Sprintf("%s on %s", p.Prefix, p.Interface)] = size{p.Capacity(), p.Available()}
		}
		return nil
	})
}

func union(a, b map[string]size) map[string]size {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// release frees an address, or what a container holds.
func release(ctx context.Context, o options, stdout io.Writer) error {
	m, err := o.manager(ctx)
	if err != nil {
		return err
	}
	pick, err := chooser(ctx, m, o.word)
	if err != nil {
		return err
	}
	freed, err := m.Free(ctx, pick, o.force)
	switch {
	case errors.Is(err, ipam.ErrInUse):
		return fmt.Errorf("%w; let the runtime delete the pod, or run the DEL that azure-vnet doctor prints; --force frees "+
			"it all the same, and then two may have one address", err)
	case errors.Is(err, ipam.ErrNotReserved):
		return fmt.Errorf("nobody holds %s", o.word)
	case err != nil:
		return err
	case len(freed) == 0:
		return fmt.Errorf("%s has been freed, or given to another one, by somebody else meanwhile", o.word)
	}
	for _, a := range freed {
		_, _ = fmt.Fprintf(stdout, "%s is free.\n", a)
	}
	return nil
}

// chooser finds what a word means: an address, or a container's ID or the beginning of just one.
func chooser(ctx context.Context, m *ipam.Manager, word string) (func(ipam.Reservation) bool, error) {
	const enough = 8 // digits of a container's ID
	if a, err := netip.ParseAddr(word); err == nil {
		return func(r ipam.Reservation) bool { return r.Address == a.Unmap() }, nil
	}
	found := map[string]bool{}
	err := m.Store.View(ctx, func(s *ipam.State) error {
		for _, p := range s.Pools {
			for _, r := range p.Reservations {
				if id := r.ContainerID; id == word || len(word) >= enough && strings.HasPrefix(id, word) {
					found[id] = true
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) > 1 && !found[word] {
		return nil, fmt.Errorf("%s is the beginning of %d containers: %s", word, len(found),
			strings.Join(slices.Sorted(maps.Keys(found)), ", "))
	}
	return func(r ipam.Reservation) bool {
		id := r.ContainerID
		return found[id] && (id == word || !found[word])
	}, nil
}
