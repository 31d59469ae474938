package fabric

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/google/nftables"
)

// Fabric is a running virtual network. Its methods may be called from any
// goroutine.
type Fabric struct {
	// VMs in the order of the configuration.
	VMs []*VM

	config   Config
	ns       *Namespace // the router
	lower    *Namespace // the lower ends of the NICs
	ports    []*port
	rules    *rules
	services *services
	stopARP  []func() error
	agents   map[netip.Addr]http.Handler // by address of the VM

	mu     sync.Mutex
	nft    *nftables.Conn
	closed bool
}

// VM is a simulated virtual machine.
type VM struct {
	Config VMConfig
	// Ns is the machine's root network namespace, another one after each
	// [VM.Restart].
	Ns *Namespace
	// Agent answers the VM's queries of [HostAgent]. It lists the addresses
	// of Config; what else it is told to list the fabric does not deliver.
	Agent *ipamtest.Agent

	fabric *Fabric
	ports  []*port

	mu   sync.Mutex
	pods map[*Namespace]bool
}

// New starts a fabric. It needs root.
func New(cfg Config) (_ *Fabric, err error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("fabric configuration: %w", err)
	}
	f := &Fabric{config: cfg, agents: map[netip.Addr]http.Handler{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start fabric: %w", err), f.Close())
		}
	}()
	if f.ns, err = newNamespace("fabric", func() error { return setSysctls(routerSysctls(cfg.dual())) }); err != nil {
		return nil, err
	}
	if f.lower, err = newNamespace("lower", func() error { return setSysctls(noIPv6) }); err != nil {
		return nil, err
	}
	for _, c := range cfg.VMs {
		if err = f.addVM(c); err != nil {
			return nil, err
		}
	}
	if err = f.wire(); err != nil {
		return nil, err
	}
	f.services, err = startServices(f.ns, f.agentOf)
	return f, err
}

// addVM makes a machine without NICs.
func (f *Fabric) addVM(cfg VMConfig) error {
	vm := &VM{Config: cfg, Agent: ipamtest.NewAgent(agentInterfaces(cfg)...), fabric: f, pods: map[*Namespace]bool{}}
	f.VMs = append(f.VMs, vm)
	for _, nic := range cfg.NICs {
		number := len(f.ports) + 1
		p := &port{number: number, name: fmt.Sprintf("f%d", number), nic: nic}
		f.ports = append(f.ports, p)
		vm.ports = append(vm.ports, p)
		for _, a := range nic.Addresses() {
			f.agents[a] = vm.Agent
		}
	}
	var err error
	vm.Ns, err = vm.start()
	return err
}

// wire plugs all NICs in, in the order that lets nothing pass unfiltered: a
// VM's interface comes up last.
func (f *Fabric) wire() error {
	w := &wiring{fabricNS: f.ns, lowerNS: f.lower}
	var err error
	if w.fabric, err = f.ns.handle(); err != nil {
		return err
	}
	defer w.fabric.Close()
	if w.lower, err = f.lower.handle(); err != nil {
		return err
	}
	defer w.lower.Close()

	own, owned := f.addresses()
	known := slices.Concat(own, owned, f.config.frontends())
	if err := w.local(own); err != nil {
		return err
	}
	for _, vm := range f.VMs {
		for _, p := range vm.ports {
			if err := errors.Join(w.plug(p, vm.Ns), w.deliver(p), w.proxy(p, known)); err != nil {
				return fmt.Errorf("plug in %s of %s: %w", p.nic.Name, vm.Config.Name, err)
			}
		}
	}
	for _, lb := range f.config.LoadBalancers {
		if err := w.balance(lb.Frontend, f.backends(lb)); err != nil {
			return err
		}
	}
	if err := f.filter(known); err != nil {
		return err
	}
	for _, vm := range f.VMs {
		for _, p := range vm.ports {
			if err := vm.Ns.Do(func() error { return configureNIC(p.nic) }); err != nil {
				return fmt.Errorf("configure %s: %w", vm.Config.Name, err)
			}
		}
	}
	return nil
}

// addresses returns those of the fabric itself and those of the NICs.
func (f *Fabric) addresses() (own, owned []netip.Addr) {
	own = []netip.Addr{HostAgent, RemoteHost}
	if f.config.dual() {
		own = append(own, RemoteHost6, GatewayLinkLocal)
	}
	for _, p := range f.ports {
		gateways := []netip.Addr{p.nic.Gateway()}
		if p.nic.dual() {
			gateways = append(gateways, firstHost(p.nic.Prefix6))
		}
		for _, prefix := range []netip.Prefix{p.nic.PodPrefix, p.nic.PodPrefix6} {
			if prefix.IsValid() {
				gateways = append(gateways, firstHost(prefix))
			}
		}
		for _, g := range gateways {
			if !slices.Contains(own, g) {
				own = append(own, g)
			}
		}
		owned = append(owned, p.nic.Addresses()...)
	}
	return own, owned
}

// filter installs the rules of all ports.
func (f *Fabric) filter(known []netip.Addr) (err error) {
	var can abilities
	err = f.ns.Do(func() (err error) {
		if can, err = able(); err != nil {
			return err
		}
		f.nft, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	if f.rules, err = newRules(f.nft, known, f.config.dual(), can); err != nil {
		return err
	}
	for _, p := range f.ports {
		if err := f.rules.addPort(p, f.balancers(p)); err != nil {
			return fmt.Errorf("rules of %s: %w", p.name, err)
		}
		// One batch per port: the acknowledgements of many ports would not
		// fit into the socket's buffer.
		if err := f.nft.Flush(); err != nil {
			return fmt.Errorf("install rules of %s: %w", p.name, err)
		}
		if !can.dup {
			if err := f.answerARP(p, append(p.nic.Addresses(), f.balancers(p)...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Ns returns the fabric's own namespace: the place of the remote host.
func (f *Fabric) Ns() *Namespace { return f.ns }

// VM returns the machine of that name, or nil.
func (f *Fabric) VM(name string) *VM {
	for _, vm := range f.VMs {
		if vm.Config.Name == name {
			return vm
		}
	}
	return nil
}

// Close ends everything: services, processes, pods, VMs, links and rules. It
// is fine to call it twice.
func (f *Fabric) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	var errs []error
	if f.services != nil {
		f.services.stop()
	}
	for _, stop := range f.stopARP {
		errs = append(errs, stop())
	}
	if f.nft != nil {
		errs = append(errs, f.nft.CloseLasting())
	}
	for _, vm := range f.VMs {
		errs = append(errs, vm.close())
	}
	for _, n := range []*Namespace{f.lower, f.ns} {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}

// NewPod makes an empty network namespace with its loopback up, as a container
// runtime does before it calls the plugin. It ends with the fabric at the
// latest.
func (vm *VM) NewPod(name string) (*Namespace, error) {
	n, err := newNamespace(vm.Config.Name+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.pods == nil {
		return nil, errors.Join(fmt.Errorf("create pod %s: %w", name, ErrClosed), n.Close())
	}
	n.onClose = func() {
		vm.mu.Lock()
		defer vm.mu.Unlock()
		delete(vm.pods, n)
	}
	vm.pods[n] = true
	return n, nil
}

func (vm *VM) close() error {
	vm.mu.Lock()
	pods := vm.pods
	vm.pods = nil
	vm.mu.Unlock()
	var errs []error
	for n := range pods {
		errs = append(errs, n.Close())
	}
	if vm.Ns != nil {
		errs = append(errs, vm.Ns.Close())
	}
	return errors.Join(errs...)
}
