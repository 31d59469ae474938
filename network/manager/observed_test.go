package manager_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/networktest"
)

// observing is a host of which something looks different from what the record says.
type observing struct {
	*networktest.Process
	change func(*network.Observed)
}

func (o *observing) EnsureNetwork(ctx context.Context, n *network.Network) (network.Ensured, error) {
	seen, err := o.Process.EnsureNetwork(ctx, n)
	o.change(&seen.Observed)
	return seen, err
}

// other gives a field of Observed a value that it did not have.
func other(t *testing.T, f reflect.Value) {
	t.Helper()
	switch f.Kind() {
	case reflect.String:
		f.SetString("other")
	case reflect.Int:
		f.SetInt(9000)
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.Slice:
		f.SetBytes([]byte("other"))
	case reflect.Map:
		m := reflect.MakeMap(f.Type())
		value := reflect.New(f.Type().Elem()).Elem()
		if value.Kind() == reflect.String {
			value.SetString("other")
		} else {
			value.SetBytes([]byte(`"other"`)) // JSON as it is
		}
		m.SetMapIndex(reflect.ValueOf("other"), value)
		f.Set(m)
	default:
		t.Fatalf("a field of kind %s is new here", f.Kind())
	}
}

// Whatever of it is another than the record says, and nothing else is, the record follows.
func TestEachThingThatIsObservedIsRecorded(t *testing.T) {
	t.Parallel()
	for i := range reflect.TypeFor[network.Observed]().NumField() {
		field := reflect.TypeFor[network.Observed]().Field(i)
		t.Run(field.Name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.add(c1)
			p := l.start()
			var want reflect.Value
			p.Dataplane = &observing{p.host, func(o *network.Observed) {
				f := reflect.ValueOf(o).Elem().Field(i)
				other(t, f)
				want = f
			}}
			if _, err := p.Add(t.Context(), bridgeMode, pod(c2)); err != nil {
				t.Fatal(err)
			}
			got := reflect.ValueOf(l.state().Networks["azure"].Observed).Field(i)
			if field.Name == "Sysctls" { // as they were before us: what was known earlier stays
				got.SetMapIndex(reflect.ValueOf("net/ipv4/ip_forward"), reflect.Value{})
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the record has %v, the host %v", got, want)
			}
		})
	}
}

// Nothing is written where nothing is new: an ADD writes its state often enough.
func TestWhatIsAsBeforeIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.add(c1)
	writes := func(owners ...network.Owner) (n int) {
		p := l.start()
		p.host.Hook = func(s networktest.Step) {
			if s.Method == networktest.Write {
				n++
			}
		}
		for _, o := range owners {
			if _, err := p.Add(t.Context(), bridgeMode, pod(o)); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	if n := writes(c2); n != 2 {
		t.Errorf("an ADD to a network that is as it was writes %d times, want 2: pending and ready", n)
	}
}
