package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// prober is what a selftest needs of Windows.
type prober struct {
	HNS   selftest.Service
	Build func() string
	Host  func() (selftest.Host, error)
}

// document is what is printed, and in the file of keep.
type document struct {
	selftest.Facts
	// Error is why it does not tell all.
	Error string         `json:"error,omitempty"`
	Left  *selftest.Left `json:"left,omitempty"`
}

var events = []string{"restart", "reboot", "clock"}

func isSelftest(args []string) bool {
	switch len(args) {
	case 0:
		return true
	case 2:
		return args[0] == "keep"
	case 3:
		return args[0] == "after" && slices.Contains(events, args[1])
	}
	return false
}

// runSelftest ends by Ctrl-C, but not without cleaning up.
func runSelftest(args []string, stdout, stderr io.Writer) error {
	p, err := newProber()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) == 3 {
		return p.after(ctx, args[1], args[2], stdout)
	}
	_, _ = fmt.Fprintln(stderr, "This takes a minute or two. Nothing is interrupted; Ctrl-C ends it, and nothing is left.")
	d := document{}
	name := selftest.Prefix + rand.Text()[:8]
	if d.Facts, err = p.find(ctx, name); err != nil {
		d.Error = err.Error()
		return errors.Join(err, write(stdout, d))
	}
	if len(args) == 0 {
		return write(stdout, d)
	}
	left, err := selftest.Leave(ctx, p.HNS, name)
	if err != nil {
		return err
	}
	left.BootID = d.Host.BootID
	d.Left = &left
	if err = save(args[1], d); err != nil {
		return errors.Join(err, selftest.Sweep(ctx, p.HNS, left))
	}
	_, _ = fmt.Fprintf(stderr, "Now restart the service hns, reboot, or set the clock, and then: azure-vnet-install "+
		"selftest after restart|reboot|clock %s\n", args[1])
	return nil
}

func (p prober) find(ctx context.Context, name string) (f selftest.Facts, err error) {
	port, err := freePort()
	if err != nil {
		return f, err
	}
	f, err = selftest.Run(ctx, p.HNS, name, port)
	host, herr := p.Host()
	f.Windows, f.Host = p.Build(), &host
	return f, errors.Join(err, herr)
}

// freePort is a port that nobody listens on.
func freePort() (uint16, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck // the address of a TCP listener
	return uint16(port), l.Close()
}

// after finds out what an event did to what keep has left, and removes that.
func (p prober) after(ctx context.Context, event, file string, stdout io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var d document
	if err = json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if d.Left == nil || d.Host == nil {
		return fmt.Errorf("%s tells of nothing that was left: run selftest keep %s before", file, file)
	}
	kept, err := selftest.Find(ctx, p.HNS, *d.Left)
	if err != nil {
		return err
	}
	host, err := p.Host()
	if err != nil {
		return err
	}
	switch event {
	case "restart":
		d.Restart = &kept
	case "reboot":
		d.Reboot = &kept
	case "clock":
		same := host.BootID == d.Left.BootID
		d.Host.ClockKeepsBootID = &same
	}
	if err = selftest.Sweep(ctx, p.HNS, *d.Left); err != nil {
		return err
	}
	d.Left = nil
	if err = save(file, d); err != nil {
		return err
	}
	return write(stdout, d)
}

func save(file string, d document) error {
	var b bytes.Buffer
	if err := write(&b, d); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o600)
}

func write(w io.Writer, d document) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(d)
}
