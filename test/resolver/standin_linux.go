package resolver

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/godbus/dbus/v5"
)

const (
	service = "org.freedesktop.resolve1"
	root    = dbus.ObjectPath("/org/freedesktop/resolve1")
)

// Server is an element of the property DNS, (iay).
type Server struct {
	Family  int32
	Address []byte
}

// ServerEx is an element of DNSEx, (iayqs).
type ServerEx struct {
	Family  int32
	Address []byte
	Port    uint16
	Name    string
}

// Domain is an element of Domains, (sb).
type Domain struct {
	Name      string
	RouteOnly bool
}

// StandIn serves links as systemd-resolved does.
type StandIn struct {
	Exists  func(index int32) bool
	Managed func(index int32) bool // by systemd-networkd; nil: none

	mu    sync.Mutex
	conn  *dbus.Conn
	links map[int32]*linkProperties
	calls []string
}

// Serve connects to the bus and takes resolved's name.
func (s *StandIn) Serve(bus string) error {
	conn, err := dbus.Connect("unix:path=" + bus)
	if err != nil {
		return err
	}
	s.conn, s.links = conn, map[int32]*linkProperties{}
	if err := conn.Export(s, root, service+".Manager"); err != nil {
		return err
	}
	reply, err := conn.RequestName(service, dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = fmt.Errorf("the name %s is taken", service)
	}
	return err
}

// Close leaves the bus.
func (s *StandIn) Close() { _ = s.conn.Close() }

type linkProperties struct {
	s      *StandIn
	values map[string]any
}

func failure(name, text string) *dbus.Error { return dbus.NewError(name, []any{text}) }

func (s *StandIn) at(index int32) (*linkProperties, *dbus.Error) {
	if !s.Exists(index) {
		delete(s.links, index)
		return nil, failure(service+".NoSuchLink", fmt.Sprintf("Link %d not known", index))
	}
	if s.links[index] == nil {
		l := &linkProperties{s, map[string]any{
			"DNS": []Server{}, "DNSEx": []ServerEx{}, "Domains": []Domain{}, "DefaultRoute": false, "LLMNR": "yes", "MulticastDNS": "no",
			"DNSOverTLS": "no", "DNSSEC": "no", "DNSSECNegativeTrustAnchors": []string{},
		}}
		if err := s.conn.Export(l, path(index), "org.freedesktop.DBus.Properties"); err != nil {
			return nil, dbus.MakeFailedError(err)
		}
		s.links[index] = l
	}
	return s.links[index], nil
}

func path(index int32) dbus.ObjectPath {
	return root + "/link/_3" + dbus.ObjectPath(strconv.Itoa(int(index)))
}

// Calls returns the methods that changed something since the last time.
func (s *StandIn) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// Forget drops what is set for a link.
func (s *StandIn) Forget(index int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.links, index)
}

// GetLink is Manager.GetLink.
func (s *StandIn) GetLink(index int32) (dbus.ObjectPath, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.at(index)
	return path(index), err
}

func (s *StandIn) set(index int32, method string, values map[string]any) *dbus.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.at(index)
	if err != nil {
		return err
	}
	if s.Managed != nil && s.Managed(index) {
		return failure(service+".LinkBusy", fmt.Sprintf("Link %d is managed.", index))
	}
	s.calls = append(s.calls, fmt.Sprintf("%s %d", method, index))
	for name, v := range values {
		l.values[name] = v
	}
	return nil
}

// SetLinkDNS and the others are Manager's.
func (s *StandIn) SetLinkDNS(index int32, servers []Server) *dbus.Error {
	var ex []ServerEx
	for _, v := range servers {
		ex = append(ex, ServerEx{v.Family, v.Address, 0, ""})
	}
	return s.set(index, "SetLinkDNS", map[string]any{"DNS": servers, "DNSEx": ex, "DefaultRoute": true})
}

// SetLinkDNSEx sets servers with ports and names.
func (s *StandIn) SetLinkDNSEx(index int32, servers []ServerEx) *dbus.Error {
	var plain []Server
	for _, v := range servers {
		plain = append(plain, Server{v.Family, v.Address})
	}
	return s.set(index, "SetLinkDNSEx", map[string]any{"DNS": plain, "DNSEx": servers, "DefaultRoute": true})
}

// SetLinkDomains sets search and routing domains.
func (s *StandIn) SetLinkDomains(index int32, domains []Domain) *dbus.Error {
	return s.set(index, "SetLinkDomains", map[string]any{"Domains": domains})
}

// SetLinkDefaultRoute says whether the link is for names that no other link's domains match.
func (s *StandIn) SetLinkDefaultRoute(index int32, yes bool) *dbus.Error {
	return s.set(index, "SetLinkDefaultRoute", map[string]any{"DefaultRoute": yes})
}

// SetLinkLLMNR sets the mode.
func (s *StandIn) SetLinkLLMNR(index int32, mode string) *dbus.Error {
	return s.set(index, "SetLinkLLMNR", map[string]any{"LLMNR": mode})
}

// SetLinkMulticastDNS sets the mode.
func (s *StandIn) SetLinkMulticastDNS(index int32, mode string) *dbus.Error {
	return s.set(index, "SetLinkMulticastDNS", map[string]any{"MulticastDNS": mode})
}

// SetLinkDNSOverTLS sets the mode.
func (s *StandIn) SetLinkDNSOverTLS(index int32, mode string) *dbus.Error {
	return s.set(index, "SetLinkDNSOverTLS", map[string]any{"DNSOverTLS": mode})
}

// SetLinkDNSSEC sets the mode.
func (s *StandIn) SetLinkDNSSEC(index int32, mode string) *dbus.Error {
	return s.set(index, "SetLinkDNSSEC", map[string]any{"DNSSEC": mode})
}

// SetLinkDNSSECNegativeTrustAnchors sets the list.
func (s *StandIn) SetLinkDNSSECNegativeTrustAnchors(index int32, names []string) *dbus.Error {
	return s.set(index, "SetLinkDNSSECNegativeTrustAnchors", map[string]any{"DNSSECNegativeTrustAnchors": names})
}

// GetAll is org.freedesktop.DBus.Properties' method on a link.
func (l *linkProperties) GetAll(iface string) (map[string]dbus.Variant, *dbus.Error) {
	if iface != service+".Link" {
		return nil, failure("org.freedesktop.DBus.Error.UnknownInterface", iface)
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	all := map[string]dbus.Variant{}
	for name, v := range l.values {
		all[name] = dbus.MakeVariant(v)
	}
	return all, nil
}

// Get is likewise.
func (l *linkProperties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	all, err := l.GetAll(iface)
	v, known := all[name]
	if err == nil && !known {
		err = failure("org.freedesktop.DBus.Error.UnknownProperty", name)
	}
	return v, err
}
