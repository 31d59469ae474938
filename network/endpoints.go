package network

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// Endpoints are those of a network, each by its container and interface.
type Endpoints struct{ records []record }

// record is an endpoint, which does not change any more, and its line in the file; "" if it is new.
type record struct {
	*Endpoint
	line string
	end  uint64 // of its container's ID, as endOf
}

// endOf are the last eight bytes of a container's ID, by which nearly all differ: each endpoint of a file is compared
// with all before it.
func endOf(containerID string) (end uint64) {
	for i := max(0, len(containerID)-8); i < len(containerID); i++ {
		end = end<<8 | uint64(containerID[i])
	}
	return end
}

// find finds an endpoint by its container and interface.
func (e *Endpoints) find(o Owner) int {
	end := endOf(o.ContainerID)
	return slices.IndexFunc(e.records, func(r record) bool {
		return r.end == end && r.ContainerID == o.ContainerID && r.IfName == o.IfName
	})
}

// findKey is find by an owner's key.
func (e *Endpoints) findKey(key string) int {
	i := strings.LastIndexByte(key, '/')
	return e.find(Owner{ContainerID: key[:max(i, 0)], IfName: key[i+1:]})
}

// Get returns a copy of an endpoint, or nil. What is changed in it counts only after Set.
func (e *Endpoints) Get(key string) *Endpoint {
	i := e.findKey(key)
	if i < 0 {
		return nil
	}
	found := *e.records[i].Endpoint
	found.Addresses, found.Routes, found.Gateways = slices.Clone(found.Addresses), slices.Clone(found.Routes),
		slices.Clone(found.Gateways)
	if found.HNS != nil {
		hns := *found.HNS
		found.HNS = &hns
	}
	return &found
}

// Set adds the endpoint, or replaces the one with its owner.
func (e *Endpoints) Set(ep *Endpoint) {
	if i := e.find(ep.Owner); i >= 0 {
		e.records[i] = record{Endpoint: ep, end: endOf(ep.ContainerID)}
		return
	}
	e.records = append(e.records, record{Endpoint: ep, end: endOf(ep.ContainerID)})
}

// Delete removes an endpoint; one that is not there is gone already.
func (e *Endpoints) Delete(key string) {
	if i := e.findKey(key); i >= 0 {
		e.records = slices.Delete(e.records, i, i+1)
	}
}

// Len is how many there are.
func (e *Endpoints) Len() int { return len(e.records) }

// Made is how many there are but for those for which nothing has been done yet.
func (e *Endpoints) Made() (made int) {
	for ep := range e.All() {
		if !ep.Announced() {
			made++
		}
	}
	return made
}

// All are the endpoints, in the order in which they came. They must not be changed: Get returns one that may be.
func (e *Endpoints) All() iter.Seq[*Endpoint] {
	return e.which(func(*Endpoint) bool { return true })
}

// Ready are the endpoints that are ready.
func (e *Endpoints) Ready() iter.Seq[*Endpoint] {
	return e.which(func(ep *Endpoint) bool { return ep.State == Ready })
}

// Having are the endpoints with the address.
func (e *Endpoints) Having(a netip.Addr) iter.Seq[*Endpoint] {
	has := func(p netip.Prefix) bool { return p.Addr() == a }
	return e.which(func(ep *Endpoint) bool { return slices.ContainsFunc(ep.Addresses, has) })
}

func (e *Endpoints) which(is func(*Endpoint) bool) iter.Seq[*Endpoint] {
	return func(yield func(*Endpoint) bool) {
		for _, r := range e.records {
			if is(r.Endpoint) && !yield(r.Endpoint) {
				return
			}
		}
	}
}

// ReadyPorts are the host veths of the endpoints that are ready, with their indexes.
func (e *Endpoints) ReadyPorts() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for ep := range e.Ready() {
			if !yield(ep.HostIfName, ep.HostIfIndex) {
				return
			}
		}
	}
}
