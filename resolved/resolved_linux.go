package resolved

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// Bus is the system bus's socket.
const Bus = "/run/dbus/system_bus_socket"

// patience bounds all that is said to resolved: nobody waits longer for a pod because of names.
const patience = time.Second

const (
	service = "org.freedesktop.resolve1"
	link    = service + ".Link"
	manager = service + ".Manager"
)

// settings are a link's properties with their types and the methods that set them, in an order in which none changes
// an earlier one (org.freedesktop.resolve1(5)).
var settings = []struct {
	property, method string
	typ              reflect.Type
}{
	{"DNS", "SetLinkDNS", reflect.TypeFor[[]server]()},
	{"DNSEx", "SetLinkDNSEx", reflect.TypeFor[[]serverEx]()}, // with ports and server names, since systemd 246
	{"Domains", "SetLinkDomains", reflect.TypeFor[[]domain]()},
	{"DefaultRoute", "SetLinkDefaultRoute", reflect.TypeFor[bool]()},
	{"LLMNR", "SetLinkLLMNR", reflect.TypeFor[string]()},
	{"MulticastDNS", "SetLinkMulticastDNS", reflect.TypeFor[string]()},
	{"DNSOverTLS", "SetLinkDNSOverTLS", reflect.TypeFor[string]()},
	{"DNSSEC", "SetLinkDNSSEC", reflect.TypeFor[string]()},
	{"DNSSECNegativeTrustAnchors", "SetLinkDNSSECNegativeTrustAnchors", reflect.TypeFor[[]string]()},
}

type server struct {
	Family  int32
	Address []byte
}

type serverEx struct {
	Family  int32
	Address []byte
	Port    uint16
	Name    string
}

type domain struct {
	Name      string
	RouteOnly bool
}

// Carry gives one link the DNS settings of another, by their indexes. Where there is no bus, no resolved, or one of
// another network namespace, and where the link from which they come has none, there is nothing to do. A link that
// systemd-networkd manages keeps what it has: there networkd's configuration says. It takes at most a second.
func Carry(ctx context.Context, bus string, from, to int) error {
	if _, err := os.Stat(bus); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := connect(ctx, bus)
	if err != nil {
		return fmt.Errorf("connect to the system bus %s: %w", bus, err)
	}
	defer func() { _ = conn.Close() }()
	r := &resolved{ctx, conn}
	if ours, err := r.isOurs(); err != nil || !ours {
		return err
	}
	if err := r.carry(from, to); err != nil && name(err) != service+".LinkBusy" {
		return fmt.Errorf("carry the DNS settings of link %d to link %d: %w", from, to, err)
	}
	return nil
}

func connect(ctx context.Context, bus string) (*dbus.Conn, error) {
	conn, err := dbus.Dial("unix:path="+bus, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close(), ctx.Err())
	}
	return conn, nil
}

type resolved struct {
	ctx  context.Context
	conn *dbus.Conn
}

// isOurs says whether resolved runs, and in our network namespace: it knows links by their indexes. The bus is asked,
// not resolved, since asking resolved could start it.
func (r *resolved) isOurs() (bool, error) {
	var pid uint32
	err := r.conn.BusObject().CallWithContext(r.ctx, "org.freedesktop.DBus.GetConnectionUnixProcessID", 0, service).Store(&pid)
	if name(err) == "org.freedesktop.DBus.Error.NameHasNoOwner" {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask the system bus for %s: %w", service, err)
	}
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return false, fmt.Errorf("look at the network namespace of systemd-resolved: %w", err)
	}
	ours, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return false, fmt.Errorf("look at our network namespace: %w", err)
	}
	return os.SameFile(theirs, ours), nil
}

func (r *resolved) carry(from, to int) error {
	source, err := r.link(from)
	if err != nil {
		return err
	}
	given := map[string]dbus.Variant{}
	if err := source.CallWithContext(r.ctx, "org.freedesktop.DBus.Properties.GetAll", 0, link).Store(&given); err != nil {
		return err
	}
	if empty(given["DNS"]) && empty(given["Domains"]) {
		return nil
	}
	target, err := r.link(to)
	if err != nil {
		return err
	}
	for _, s := range settings {
		want, known := given[s.property]
		if _, better := given["DNSEx"]; !known || s.property == "DNS" && better {
			continue
		}
		var have dbus.Variant
		if err := target.CallWithContext(r.ctx, "org.freedesktop.DBus.Properties.Get", 0, link, s.property).Store(&have); err != nil {
			return fmt.Errorf("%s: %w", s.property, err)
		}
		if reflect.DeepEqual(have.Value(), want.Value()) {
			continue
		}
		value := reflect.New(s.typ) // the variant has lost the type, which the method needs
		if err := dbus.Store([]any{want.Value()}, value.Interface()); err != nil {
			return fmt.Errorf("%s: %w", s.property, err)
		}
		if err := r.manager().CallWithContext(r.ctx, manager+"."+s.method, 0, int32(to), value.Elem().Interface()).Err; err != nil {
			return fmt.Errorf("%s: %w", s.method, err)
		}
	}
	return nil
}

func (r *resolved) manager() dbus.BusObject {
	return r.conn.Object(service, "/org/freedesktop/resolve1")
}

// link finds a link. One that was made just now resolved may not have heard of.
func (r *resolved) link(index int) (dbus.BusObject, error) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		var path dbus.ObjectPath
		err := r.manager().CallWithContext(r.ctx, manager+".GetLink", 0, int32(index)).Store(&path)
		if name(err) != service+".NoSuchLink" {
			return r.conn.Object(service, path), err
		}
		select {
		case <-r.ctx.Done():
			return nil, errors.Join(err, r.ctx.Err())
		case <-pace.C:
		}
	}
}

// empty says whether a property is not there or an empty list.
func empty(v dbus.Variant) bool {
	list := reflect.ValueOf(v.Value())
	return !list.IsValid() || list.Kind() == reflect.Slice && list.Len() == 0
}

// name is the D-Bus name of an error, or "".
func name(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}
