package fabric

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
)

// start makes the namespace of a machine that has just been switched on,
// without NICs.
func (vm *VM) start() (*Namespace, error) {
	settings := nodeSysctls
	if !vm.Config.dual() {
		settings = slices.Concat(settings, noIPv6)
	}
	return newNamespace(vm.Config.Name, func() error { return setSysctls(settings) })
}

// Restart switches the machine off and on: the processes that were started in
// it are killed, its pods end, and it begins with nothing but its NICs and
// their own addresses. The fabric notices nothing of it but that nobody
// answers meanwhile. It must not be called beside other methods of the VM,
// nor for one with a veth pair as its NIC: with the pair's other end down the
// fabric would forget for whom it answers neighbour solicitations.
func (vm *VM) Restart() error {
	for _, p := range vm.ports {
		if p.nic.Veth {
			return fmt.Errorf("restart %s: %s is a veth pair", vm.Config.Name, p.nic.Name)
		}
	}
	pods := vm.takePods()
	var errs []error
	for n := range pods {
		errs = append(errs, n.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fresh, err := vm.start()
	if err != nil {
		return err
	}
	for _, p := range vm.ports {
		if err := vm.Ns.Do(func() error { return unplug(p.nic.Name, fresh) }); err != nil {
			return errors.Join(fmt.Errorf("restart %s: %w", vm.Config.Name, err), fresh.Close())
		}
	}
	old := vm.Ns
	vm.Ns = fresh
	if err := old.Close(); err != nil {
		return err
	}
	for _, p := range vm.ports {
		if err := fresh.Do(func() error { return configureNIC(p.nic) }); err != nil {
			return fmt.Errorf("configure %s: %w", vm.Config.Name, err)
		}
	}
	return nil
}

// takePods leaves the machine without pods and returns those that it had.
func (vm *VM) takePods() map[*Namespace]bool {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	pods := vm.pods
	vm.pods = map[*Namespace]bool{}
	return pods
}

// unplug moves a NIC into another namespace, whereby it loses all that it had
// been given in this one.
func unplug(name string, to *Namespace) error {
	nic, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := netlink.LinkSetDown(nic); err != nil {
		return fmt.Errorf("set %s down: %w", name, err)
	}
	if err := netlink.LinkSetNsFd(nic, to.fd); err != nil {
		return fmt.Errorf("move %s: %w", name, err)
	}
	return nil
}
