package nft

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// deletion is what shall go of the tables, in one transaction: who is killed on the way has taken away all or nothing.
// Of a part, whose pod may be in no state any more, a listing might not tell whose it is.
type deletion struct {
	sets   map[string]*nftables.Set
	keys   map[string][][]byte // of the elements, by the name of the set
	chains map[string]*nftables.Chain
}

// DeleteElements removes what is there of the elements, all at once; what is gone already is success.
func (n *Conn) DeleteElements(elements ...Element) error {
	d := deletionOf(elements)
	err := n.remove(d)
	if errors.Is(err, unix.ENOENT) { // a missing element fails all; each may go while we look, one after the other
		err = upTo(max(often, len(elements)+1), func() error {
			if err := n.reduce(d); err != nil {
				return err
			}
			return n.remove(d)
		})
	}
	if err != nil {
		return fmt.Errorf("delete nftables elements: %w", err)
	}
	return nil
}

func deletionOf(elements []Element) deletion {
	d := deletion{map[string]*nftables.Set{}, map[string][][]byte{}, map[string]*nftables.Chain{}}
	seen := map[string]bool{}
	for _, e := range elements {
		for _, part := range e.entries() {
			name := part.set.Name
			// Where the host routes, the set of addresses knows no MAC, so what was found in that one alone has none, and the
			// kernel refuses a key that lacks it (EINVAL).
			if seen[name+string(part.element.Key)] || len(e.MAC) != 6 && name == e.owned(e.Address.Is6()).Name {
				continue
			}
			seen[name+string(part.element.Key)] = true
			d.sets[name] = part.set
			d.keys[name] = append(d.keys[name], part.element.Key)
		}
		if e.Family == FamilyNetdev && e.Port != "" {
			c := e.podChain(e.Port, "")
			d.chains[c.Name] = &c.Chain
		}
	}
	return d
}

// remove is the transaction.
func (n *Conn) remove(d deletion) error {
	for _, name := range slices.Sorted(maps.Keys(d.sets)) {
		for some := range slices.Chunk(d.keys[name], maxElements) {
			var elements []nftables.SetElement
			for _, key := range some {
				elements = append(elements, nftables.SetElement{Key: key})
			}
			if err := n.library().SetDeleteElements(d.sets[name], elements); err != nil {
				return fmt.Errorf("set %s: %w", name, err)
			}
		}
	}
	n.deleteChains(slices.Collect(maps.Values(d.chains)))
	return n.library().Flush()
}

// reduce leaves what is there. Each element is asked for: a listing may leave some out (Conn.list), which would stay.
func (n *Conn) reduce(d deletion) error {
	for name, set := range d.sets {
		var errs error
		d.keys[name] = slices.DeleteFunc(d.keys[name], func(key []byte) bool {
			_, there, err := n.lookUp(set, key)
			errs = errors.Join(errs, err)
			return !there
		})
		if errs != nil {
			return errs
		}
	}
	if len(d.chains) == 0 {
		return nil
	}
	have, err := n.library().ListChainsOfTableFamily(FamilyNetdev.table().Family)
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", listError(err))
	}
	maps.DeleteFunc(d.chains, func(name string, _ *nftables.Chain) bool {
		return !slices.ContainsFunc(have, func(h *nftables.Chain) bool { return h.Table.Name == TableName && h.Name == name })
	})
	return nil
}
