package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// cleanup is the finalizer by which a cloud's controller keeps a Service until its load balancer is gone.
const cleanup = "service.kubernetes.io/load-balancer-cleanup"

// balancer gives Services of type LoadBalancer a load balancer of the fabric, as Azure's cloud provider does: of floating IP, with all
// nodes as backends, of which those get packets whose health probes, from the host agent's address, are answered.
type balancer struct {
	fabric  *fabric.Fabric
	control *control
	nodes   map[string]netip.Addr
	client  *http.Client

	free  []netip.Addr
	given map[string]frontend // by the Service's UID
}

type frontend struct {
	addr     netip.Addr
	backends []string
}

// service is the part of a Service that a load balancer is about.
type service struct {
	Metadata struct {
		Name, Namespace, UID string
		Finalizers           []string
		DeletionTimestamp    string
	}
	Spec struct {
		Type, ExternalTrafficPolicy, LoadBalancerClass, SessionAffinity string
		HealthCheckNodePort                                             int
	}
	Status struct {
		LoadBalancer struct {
			Ingress []struct{ IP string }
		}
	}
}

// frontends are load balancers in the nodes' subnet, with all nodes as backends and nobody behind them yet.
func frontends(count int) (list []fabric.LoadBalancer) {
	var backends []string
	for i := range nodes {
		backends = append(backends, fmt.Sprintf("node%d", i+1))
	}
	for i := range count {
		list = append(list, fabric.LoadBalancer{Frontend: netip.AddrFrom4([4]byte{10, 240, 200, byte(1 + i)}), Backends: backends})
	}
	return list
}

func newBalancer(f *fabric.Fabric, c *control, workers []*worker) (*balancer, error) {
	b := &balancer{fabric: f, control: c, nodes: map[string]netip.Addr{}, given: map[string]frontend{}}
	for _, w := range workers {
		b.nodes[w.name] = w.addrs[0]
	}
	for _, lb := range frontends(loadBalancers) {
		b.free = append(b.free, lb.Frontend)
		if err := f.Balance(lb.Frontend, nil); err != nil {
			return nil, err
		}
	}
	b.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return c.vm.Ns.Dial(ctx, network, addr)
		},
	}}
	return b, nil
}

// run looks after the Services until ctx ends. What it cannot do at once it does the next time.
func (b *balancer) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.look(ctx); err != nil && ctx.Err() == nil {
			fmt.Println("the load balancers' controller:", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	b.client.CloseIdleConnections()
}

func (b *balancer) look(ctx context.Context) error {
	var list struct{ Items []service }
	if err := b.ask(ctx, http.MethodGet, "/api/v1/services", nil, &list); err != nil {
		return err
	}
	var errs []error
	there := map[string]bool{}
	for _, s := range list.Items {
		there[s.Metadata.UID] = true
		wanted := s.Spec.Type == "LoadBalancer" && s.Spec.LoadBalancerClass == "" && s.Metadata.DeletionTimestamp == ""
		if _, given := b.given[s.Metadata.UID]; wanted || given {
			errs = append(errs, b.serve(ctx, s, wanted))
		}
	}
	for uid := range b.given {
		if !there[uid] {
			errs = append(errs, b.take(uid))
		}
	}
	return errors.Join(errs...)
}

// serve makes a Service have what it wants: a load balancer, or none.
func (b *balancer) serve(ctx context.Context, s service, wanted bool) error {
	path := "/api/v1/namespaces/" + s.Metadata.Namespace + "/services/" + s.Metadata.Name
	if !wanted {
		rest := slices.DeleteFunc(slices.Clone(s.Metadata.Finalizers), func(f string) bool { return f == cleanup })
		return errors.Join(
			b.ask(ctx, http.MethodPatch, path+"/status", map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": nil}}},
				nil),
			b.ask(ctx, http.MethodPatch, path, map[string]any{"metadata": map[string]any{"finalizers": rest}}, nil),
			b.take(s.Metadata.UID))
	}
	f, given := b.given[s.Metadata.UID]
	if !given {
		if len(b.free) == 0 {
			return fmt.Errorf("no load balancer is left for %s", path)
		}
		f.addr, b.free = b.free[0], b.free[1:]
		b.given[s.Metadata.UID] = f
	}
	if !slices.Contains(s.Metadata.Finalizers, cleanup) {
		finalizers := append(slices.Clone(s.Metadata.Finalizers), cleanup)
		if err := b.ask(ctx, http.MethodPatch, path, map[string]any{"metadata": map[string]any{"finalizers": finalizers}}, nil); err != nil {
			return err
		}
	}
	if backends := b.healthy(ctx, s); !slices.Equal(backends, f.backends) {
		if err := b.fabric.Balance(f.addr, backends); err != nil {
			return err
		}
		f.backends = backends
		b.given[s.Metadata.UID] = f
	}
	if in := s.Status.LoadBalancer.Ingress; len(in) == 1 && in[0].IP == f.addr.String() {
		return nil
	}
	ingress := []map[string]any{{"ip": f.addr.String()}}
	return b.ask(ctx, http.MethodPatch, path+"/status",
		map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}}, nil)
}

// take gives a load balancer back.
func (b *balancer) take(uid string) error {
	f := b.given[uid]
	delete(b.given, uid)
	b.free = append(b.free, f.addr)
	return b.fabric.Balance(f.addr, nil)
}

// healthy names the nodes that may get a Service's packets: they answer its health probe, at kube-proxy's port for those that have an
// endpoint, or at the one that says that kube-proxy works.
func (b *balancer) healthy(ctx context.Context, s service) []string {
	port := 10256
	if s.Spec.ExternalTrafficPolicy == "Local" {
		port = s.Spec.HealthCheckNodePort
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	var names []string
	for name, addr := range b.nodes {
		all.Go(func() {
			if b.probe(ctx, netip.AddrPortFrom(addr, uint16(port))) {
				mu.Lock()
				defer mu.Unlock()
				names = append(names, name)
			}
		})
	}
	all.Wait()
	slices.Sort(names)
	if s.Spec.SessionAffinity == "ClientIP" { // a client's node stays the same, and they may all have the same one
		names = names[:min(len(names), 1)]
	}
	return names
}

// probe asks as Azure's load balancer does, from the host agent's address.
func (b *balancer) probe(ctx context.Context, to netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var c net.Conn
	err := b.fabric.Ns().Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: fabric.HostAgent.AsSlice()}}
		c, err = d.DialContext(ctx, "tcp4", to.String())
		return err
	})
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	answer := make([]byte, len("HTTP/1.0 200"))
	_, err = io.ReadFull(c, answer)
	return err == nil && string(answer[len("HTTP/1.0 "):]) == strconv.Itoa(http.StatusOK)
}

// ask asks the API server. body is a merge patch.
func (b *balancer) ask(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		text = marshal(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+netip.AddrPortFrom(b.control.addr, 6443).String()+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/merge-patch+json")
	reply, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	content, err := io.ReadAll(reply.Body)
	switch {
	case err != nil:
		return err
	case reply.StatusCode == http.StatusNotFound, reply.StatusCode == http.StatusConflict: // somebody else was faster
		return nil
	case reply.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s: %s", method, path, reply.Status, content)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(content, answer)
}
