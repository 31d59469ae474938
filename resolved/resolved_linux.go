package resolved

import (
	"bytes"
	"context"
	"encoding/json"
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

// Read reads what is set for a link, by its index. It is nil where there is no bus, no resolved, or one of another
// network namespace, and for a link without servers and domains. It takes at most a second.
func Read(ctx context.Context, bus string, index int) (s Settings, err error) {
	err = with(ctx, bus, func(r *resolved) error {
		s, err = r.read(index)
		return err
	})
	return s, err
}

// Apply sets that for a link. One that systemd-networkd manages keeps what it has: there networkd's configuration
// says. It takes at most a second.
func Apply(ctx context.Context, bus string, index int, s Settings) error {
	if len(s) == 0 {
		return nil
	}
	return with(ctx, bus, func(r *resolved) error {
		if err := r.apply(index, s); name(err) != service+".LinkBusy" {
			return err
		}
		return nil
	})
}

func with(ctx context.Context, bus string, fn func(*resolved) error) error {
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
	return fn(r)
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
	err := r.conn.BusObject().CallWithContext(r.ctx, "org.freedesktop.DBus.GetConnectionUnixProcessID", 0,
		service).Store(&pid)
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

func (r *resolved) read(index int) (Settings, error) {
	at, err := r.link(index)
	if err != nil {
		return nil, err
	}
	all := map[string]dbus.Variant{}
	if err := at.CallWithContext(r.ctx, "org.freedesktop.DBus.Properties.GetAll", 0, link).Store(&all); err != nil {
		return nil, fmt.Errorf("read the DNS settings of link %d: %w", index, err)
	}
	s := Settings{}
	for _, row := range settings {
		v, known := all[row.property]
		if _, better := all["DNSEx"]; !known || row.property == "DNS" && better {
			continue
		}
		value := reflect.New(row.typ)
		if err := dbus.Store([]any{v.Value()}, value.Interface()); err != nil {
			return nil, fmt.Errorf("%s of link %d: %w", row.property, index, err)
		}
		if s[row.property], err = json.Marshal(value.Interface()); err != nil {
			return nil, fmt.Errorf("%s of link %d: %w", row.property, index, err)
		}
	}
	for _, list := range []string{"DNS", "DNSEx", "Domains"} {
		if v := string(s[list]); v != "" && v != "[]" && v != "null" {
			return s, nil
		}
	}
	return nil, nil
}

// apply sets what differs; one setting may change the default of the next.
func (r *resolved) apply(index int, s Settings) error {
	for _, row := range settings {
		have, err := r.read(index)
		if err != nil {
			return err
		}
		want := s[row.property]
		if want == nil || bytes.Equal(want, have[row.property]) {
			continue
		}
		value := reflect.New(row.typ) // the method needs the type
		if err := json.Unmarshal(want, value.Interface()); err != nil {
			return fmt.Errorf("%s: %w", row.property, err)
		}
		if err := r.manager().CallWithContext(r.ctx, manager+"."+row.method, 0, int32(index),
			value.Elem().Interface()).Err; err != nil {
			return fmt.Errorf("%s of link %d: %w", row.method, index, err)
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

// name is the D-Bus name of an error, or "".
func name(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}
