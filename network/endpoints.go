package network

import (
	"iter"
	"slices"
)

// Endpoints are those of a network, each by its container and interface. A command is about one of hundreds, so an
// endpoint is decoded when somebody asks for it (rows.go).
type Endpoints struct{ records []record }

// record is an endpoint as it was read, as it is, or both.
type record struct {
	network  string
	key      string // container ID/interface name
	port     string // the host veth
	index    int    // of the host veth; 0 if it is not known
	state    string
	text     string    // the row; "" for one that is new or changed
	at       int       // where the row begins in the text that was parsed
	json     string    // the end of the row
	endpoint *Endpoint // nil as long as nobody asked
}

func (e *Endpoints) find(key string) int {
	return slices.IndexFunc(e.records, func(r record) bool { return r.key == key })
}

// Get returns an endpoint, or nil. What is changed in it counts only after Set.
func (e *Endpoints) Get(key string) *Endpoint {
	if i := e.find(key); i >= 0 {
		return e.records[i].decode()
	}
	return nil
}

// Set adds the endpoint, or replaces the one with its owner.
func (e *Endpoints) Set(ep *Endpoint) {
	r := record{network: ep.Network, key: ep.key(), port: ep.HostIfName, index: ep.HostIfIndex, state: ep.State, endpoint: ep}
	if i := e.find(r.key); i >= 0 {
		e.records[i] = r
		return
	}
	e.records = append(e.records, r)
}

// Delete removes an endpoint; one that is not there is gone already.
func (e *Endpoints) Delete(key string) {
	if i := e.find(key); i >= 0 {
		e.records = slices.Delete(e.records, i, i+1)
	}
}

// Len is how many there are.
func (e *Endpoints) Len() int { return len(e.records) }

// Made is how many there are but for those for which nothing has been done yet.
func (e *Endpoints) Made() int {
	made := len(e.records)
	for i := range e.records {
		if r := &e.records[i]; r.state == Pending && r.decode().Announced() {
			made--
		}
	}
	return made
}

// All are the endpoints, in the order in which they came.
func (e *Endpoints) All() iter.Seq[*Endpoint] {
	return func(yield func(*Endpoint) bool) {
		for i := range e.records {
			if !yield(e.records[i].decode()) {
				return
			}
		}
	}
}

// ready are the endpoints that are ready.
func (e *Endpoints) ready() iter.Seq[*Endpoint] {
	return func(yield func(*Endpoint) bool) {
		for i := range e.records {
			if e.records[i].state == Ready && !yield(e.records[i].decode()) {
				return
			}
		}
	}
}

// ReadyPorts are the host veths of the endpoints that are ready, with their indexes.
func (e *Endpoints) ReadyPorts() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for i := range e.records {
			if r := &e.records[i]; r.state == Ready && !yield(r.port, r.index) {
				return
			}
		}
	}
}
