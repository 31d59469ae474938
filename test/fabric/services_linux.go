package fabric

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// Ports of [HostAgent]. Pods must not reach the first and the last.
const (
	AgentPort   = 80
	DNSPort     = 53
	MachinePort = 32526
)

// services are the servers at [HostAgent].
type services struct {
	running sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	open    map[io.Closer]bool
}

// startServices listens in the fabric's namespace. agentOf names the handler
// of a client's address, nil for a stranger.
func startServices(n *Namespace, agentOf func(netip.Addr) http.Handler) (*services, error) {
	s := &services{open: map[io.Closer]bool{}}
	err := errors.Join(
		s.serveHTTP(n, agentOf),
		s.serveTCP(n, DNSPort, serveDNSConn),
		s.serveDNSPackets(n),
		s.serveTCP(n, MachinePort, func(c net.Conn) { _, _ = c.Write([]byte{'\n'}) }))
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("serve %v: %w", HostAgent, err)
	}
	return s, nil
}

// stop closes everything and waits for all goroutines.
func (s *services) stop() {
	s.mu.Lock()
	s.stopped = true
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// enter counts the calling goroutine as running, unless all are to stop.
func (s *services) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.running.Add(1)
	}
	return !s.stopped
}

// goWith runs fn until c is closed, which happens at its end or when the
// services stop.
func (s *services) goWith(c io.Closer, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = c.Close()
		return
	}
	s.open[c] = true
	s.running.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.open, c)
			_ = c.Close()
		}()
		fn()
	})
}

func agentAddress(port int) string {
	return net.JoinHostPort(HostAgent.String(), strconv.Itoa(port))
}

func (s *services) serveHTTP(n *Namespace, agentOf func(netip.Addr) http.Handler) error {
	l, err := n.Listen("tcp4", agentAddress(AgentPort))
	if err != nil {
		return err
	}
	handle := func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			return
		}
		defer s.running.Done()
		if client, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			if agent := agentOf(client.Addr()); agent != nil {
				agent.ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "no VM has the address "+r.RemoteAddr, http.StatusForbidden)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(handle),
		ReadHeaderTimeout: time.Minute,
		// What clients do wrong is theirs to report.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.goWith(server, func() { _ = server.Serve(l) })
	return nil
}

// serveTCP calls serve for each connection and closes it afterwards.
func (s *services) serveTCP(n *Namespace, port int, serve func(net.Conn)) error {
	l, err := n.Listen("tcp4", agentAddress(port))
	if err != nil {
		return err
	}
	s.goWith(l, func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.goWith(c, func() { serve(c) })
		}
	})
	return nil
}

func (s *services) serveDNSPackets(n *Namespace) error {
	conn, err := n.ListenPacket("udp4", agentAddress(DNSPort))
	if err != nil {
		return err
	}
	s.goWith(conn, func() {
		buf := make([]byte, 4096)
		for {
			n, client, err := conn.ReadFrom(buf)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				continue // an ICMP error about an earlier answer
			}
			if answer := answerDNS(buf[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, client)
			}
		}
	})
	return nil
}
