package hnssim

import (
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// What a container runtime, Windows itself, and a test that looks, do with a host.

// AddNamespace makes a namespace as containerd does before it calls a plugin, and returns its ID, which becomes
// CNI_NETNS.
func (s *Server) AddNamespace() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &Namespace{Type: "Host", SchemaVersion: Version{2, 0}}
	if err := s.m.createNamespace(n); err != nil {
		panic(err) // it is empty
	}
	return s.m.guid(n.ID)
}

// RemoveNamespace takes a namespace away, as a runtime does that did not wait for DEL.
func (s *Server) RemoveNamespace(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.deleteNamespace(strings.ToLower(id))
}

// RemoveEndpoint takes an endpoint away, as a person does.
func (s *Server) RemoveEndpoint(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.deleteEndpoint(strings.ToLower(id))
}

// RenameEndpoint gives an endpoint the name that another plugin would have given it.
func (s *Server) RenameEndpoint(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.m.endpoints[strings.ToLower(id)]; e != nil {
		e.Name = name
	}
}

// RemoveNetwork takes a network away with its endpoints, as Remove-HnsNetwork does.
func (s *Server) RemoveNetwork(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.m.networks {
		if n.Name == name {
			s.m.deleteNetwork(id)
		}
	}
}

// AddContainer lets a container run, so that endpoints can be attached to it: Docker's way.
func (s *Server) AddContainer(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.systems[id] = true
}

// RemoveContainer ends a container. Its endpoints stay.
func (s *Server) RemoveContainer(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m.systems, id)
	for _, e := range s.m.endpoints {
		e.containers = slices.DeleteFunc(e.containers, func(c string) bool { return c == id })
	}
}

// keep drops what the facts say that an event drops: networks with their endpoints, or endpoints alone.
func (m *model) keep(k *selftest.Kept) {
	for id, n := range m.networks {
		network, endpoint := k.NetworkV1, k.EndpointV1
		if n.Flags&NonPersistent != 0 {
			network, endpoint = k.NetworkV2, k.EndpointV2
		}
		for eid, e := range m.endpoints {
			if e.HostComputeNetwork == id && !endpoint {
				m.deleteEndpoint(eid)
			}
		}
		if !network {
			m.deleteNetwork(id)
		}
	}
}

// Restart restarts the service hns, while containers run.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.keep(s.o.Facts.Restart)
}

// Reboot ends all containers and namespaces, and drops what is not persistent: networks that were made so, with their
// endpoints. Load balancers and routes are the services' that make them anew.
func (s *Server) Reboot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.keep(s.o.Facts.Reboot)
	for id := range s.m.namespaces {
		s.m.deleteNamespace(id)
	}
	for _, e := range s.m.endpoints {
		e.containers = nil
	}
	clear(s.m.systems)
	clear(s.m.balancers)
	clear(s.m.routes)
}

// Networks returns copies of all networks, ordered by name. Their insides must not be changed.
func (s *Server) Networks() (all []Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.m.networks {
		all = append(all, *n)
	}
	slices.SortFunc(all, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Endpoints returns copies of all endpoints, ordered by name. Their insides must not be changed.
func (s *Server) Endpoints() (all []Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.m.endpoints {
		c := *e
		c.containers = slices.Clone(e.containers)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Endpoint) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Containers returns the containers that the endpoint is attached to, by v1.
func (e *Endpoint) Containers() []string { return e.containers }
