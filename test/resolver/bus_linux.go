package resolver

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`

// StartBus runs dbus-daemon with its socket in the folder until the test ends, and returns the socket.
func StartBus(t testing.TB, dir string) string {
	t.Helper()
	socket, config := filepath.Join(dir, "system_bus_socket"), filepath.Join(dir, "bus.conf")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(busConfig, "%s", socket)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--nopidfile", "--nosyslog", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	Start(t, cmd, cmd.Start)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // the address: it listens
		t.Fatalf("dbus-daemon does not become ready: %v", err)
	}
	return socket
}

// Start starts a command, somehow, and ends it with the test.
func Start(t testing.TB, cmd *exec.Cmd, start func() error) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says: %s", cmd.Path, stderr.String())
		}
	})
}

// Client is a connection to the bus for the test itself. It waits until somebody has resolved's name.
func Client(t testing.TB, bus string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect("unix:path=" + bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	owned := make(chan *dbus.Signal, 10)
	conn.Signal(owned)
	if err := conn.AddMatchSignal(dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, service)); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, service).Store(&there); err != nil {
		t.Fatal(err)
	}
	for !there {
		select {
		case s := <-owned:
			there = s != nil && s.Name == "org.freedesktop.DBus.NameOwnerChanged"
		case <-t.Context().Done():
			t.Fatalf("nobody takes the name %s", service)
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody takes the name %s", service)
		}
	}
	return conn
}

// Set calls a method of the manager.
func Set(t testing.TB, conn *dbus.Conn, method string, args ...any) {
	t.Helper()
	if err := conn.Object(service, root).Call(service+".Manager."+method, 0, args...).Err; err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// Settings are the properties of a link, by its index, that an administrator sets, as text.
func Settings(t testing.TB, conn *dbus.Conn, index int) string {
	t.Helper()
	var link dbus.ObjectPath
	if err := conn.Object(service, root).Call(service+".Manager.GetLink", 0, int32(index)).Store(&link); err != nil {
		t.Fatalf("GetLink of %d: %v", index, err)
	}
	all := map[string]dbus.Variant{}
	if err := conn.Object(service, link).Call("org.freedesktop.DBus.Properties.GetAll", 0, service+".Link").Store(&all); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range []string{"DNSEx", "Domains", "DefaultRoute", "LLMNR", "MulticastDNS", "DNSOverTLS", "DNSSEC",
		"DNSSECNegativeTrustAnchors"} {
		fmt.Fprintf(&b, "%s %v\n", name, all[name].Value())
	}
	return b.String()
}
