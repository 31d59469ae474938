package manager_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/network/networktest"
	"github.com/Azure/azure-container-networking/store"
)

// ailing is a host of which something is wrong until a network that is suspect is ensured.
type ailing struct {
	*networktest.Process
	wrong   []string
	chronic bool // nothing helps
	ensured []string
}

func (a *ailing) Ailing(context.Context, *network.Network) ([]string, error) {
	return slices.Clone(a.wrong), nil
}

func (a *ailing) EnsureNetwork(ctx context.Context, n *network.Network) (network.Ensured, error) {
	of := []string{n.Name}
	for _, list := range n.Carried {
		for e := range list.All() {
			of = append(of, e.ContainerID)
		}
	}
	a.ensured = append(a.ensured, strings.Join(of, " "))
	if n.Suspect && !a.chronic {
		a.wrong = nil
	}
	return a.Process.EnsureNetwork(ctx, n)
}

// repairer is a process whose host has something wrong.
func (l *lab) repairer(wrong ...string) (*manager.Manager, *ailing) {
	p := l.start()
	plane := &ailing{Process: p.host, wrong: wrong}
	p.Dataplane = plane
	p.Claims = store.Claims{Path: filepath.Join(filepath.Dir(l.path), "claims.lock")}
	return p.Manager, plane
}

func TestRepairSaysWhatWasWrong(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m, plane := l.repairer()
	if done, err := m.Repair(t.Context()); err != nil || len(done.Right) > 0 || len(plane.ensured) > 0 {
		t.Errorf("without a network it does %+v, %v, %v", done, err, plane.ensured)
	}
	l.add(c1)
	m, _ = l.repairer("this", "that")
	if done, err := m.Repair(t.Context()); err != nil || !slices.Equal(done.Right, []string{"this", "that"}) {
		t.Errorf("it says %+v, %v", done, err)
	}
	m, plane = l.repairer("this")
	plane.chronic = true
	done, err := m.Repair(t.Context())
	if !errors.Is(err, network.ErrDifference) || !strings.Contains(err.Error(), "repair network azure: check failed: this") ||
		len(done.Right) > 0 {
		t.Errorf("of what stays wrong it says %+v, %v", done, err)
	}
}

// A pod whose DEL or ADD is under way is left to that: nothing of it comes back.
func TestRepairLeavesAPodToTheCommandThatIsAboutIt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1, c2)
	l.interrupt(c3)
	m, plane := l.repairer("this")
	del, _ := l.repairer()
	claim, err := del.Claim(t.Context(), c1)
	if err != nil {
		t.Fatal(err)
	}
	done, err := m.Repair(t.Context())
	if err != nil || done.Busy != 1 || !slices.Equal(plane.ensured, []string{"azure c2"}) {
		t.Errorf("beside a DEL of c1 it repairs %v: %+v, %v", plane.ensured, done, err)
	}
	claim.Release()
	m, plane = l.repairer("this")
	if done, err = m.Repair(t.Context()); err != nil || done.Busy != 0 || !slices.Equal(plane.ensured, []string{"azure c1 c2"}) {
		t.Errorf("then it repairs %v: %+v, %v", plane.ensured, done, err)
	}
}
