package selftest

import (
	"context"
	"errors"
)

// Left is what a selftest has left in HNS on purpose, to find out what an event does to it: a network of each version
// with an endpoint, that of v2 attached to a namespace.
type Left struct {
	Name        string
	NetworkV1   string
	EndpointV1  string
	NetworkV2   string `json:",omitempty"` // empty: there is no HCN
	EndpointV2  string `json:",omitempty"`
	NamespaceV2 string `json:",omitempty"`
	BootID      string
}

// Leave makes networks that stay, until Sweep.
func Leave(ctx context.Context, s Service, name string) (l Left, err error) {
	t := &trial{ctx: ctx, name: name, v1: v1{s}, v2: v2{s}, facts: &Facts{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.sweep())
		}
	}()
	t.askForV2()
	l.Name = name
	l.NetworkV1, l.EndpointV1 = t.leave(t.v1, "198.18.1.", name+"-v1")
	if t.hasV2 {
		l.NetworkV2, l.EndpointV2 = t.leave(t.v2, "198.18.2.", name+"-v2")
		var a Answer
		l.NamespaceV2, a = t.namespace(schema2)
		if t.err = errors.Join(t.err, refused("make a namespace", a)); t.err == nil {
			a, t.err = t.v2.attach(ctx, "Add", l.NamespaceV2, l.EndpointV2)
			t.err = errors.Join(t.err, refused("attach an endpoint", a))
		}
	}
	return l, t.err
}

func (t *trial) leave(v version, net, name string) (network, endpoint string) {
	network = t.network(v, "", networkDoc{name: name, subnet: net + "0/24", gateway: net + "1"})
	endpoint, a := t.endpoint(v, network, endpointDoc{name: name + "-first", address: net + "10", length: 24})
	if t.err == nil {
		t.err = refused("make an endpoint", a)
	}
	return network, endpoint
}

// Find says what is there of what was left.
func Find(ctx context.Context, s Service, l Left) (k Kept, err error) {
	there := func(v version, kind, id string) bool {
		if err != nil || id == "" {
			return false
		}
		var a Answer
		_, a, err = v.query(ctx, kind, id)
		return err == nil && a.Taken()
	}
	k.NetworkV1, k.EndpointV1 = there(v1{s}, kindNetwork, l.NetworkV1), there(v1{s}, kindEndpoint, l.EndpointV1)
	k.NetworkV2, k.EndpointV2 = there(v2{s}, kindNetwork, l.NetworkV2), there(v2{s}, kindEndpoint, l.EndpointV2)
	if k.EndpointV2 && there(v2{s}, kindNamespace, l.NamespaceV2) {
		var a Answer
		a, err = v2{s}.attach(ctx, "Remove", l.NamespaceV2, l.EndpointV2)
		k.AttachedV2 = err == nil && a.Taken()
	}
	return k, err
}

// Sweep removes what was left.
func Sweep(ctx context.Context, s Service, l Left) error {
	t := &trial{ctx: ctx, name: l.Name, v1: v1{s}, v2: v2{s}, hasV2: l.NetworkV2 != ""}
	for _, m := range []madeObject{{t.v1, kindEndpoint, l.EndpointV1}, {t.v2, kindEndpoint, l.EndpointV2},
		{t.v2, kindNamespace, l.NamespaceV2}} {
		if m.id != "" {
			t.made = append(t.made, m)
		}
	}
	return t.sweep()
}
