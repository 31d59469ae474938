package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// whole waits until all pods of the node are ready and say the addresses that they have, and nobody else has one: no address is lost, given
// twice, or kept for a pod that is gone. The node's doctor must find nothing wrong: what is, the repair unit has put right.
func (c *cluster) whole(ctx context.Context, w *worker) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("given up after three minutes"))
	defer cancel()
	return until(ctx, "the pods of "+w.name, func(ctx context.Context) error {
		wanted, err := c.said(ctx, w)
		if err != nil {
			return err
		}
		kept, err := w.kept(ctx)
		if err != nil {
			return err
		}
		there, err := w.there(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(
			same("the plugin's addresses and Kubernetes'", kept, wanted),
			same("the addresses in the pods and Kubernetes'", there, slices.Sorted(maps.Keys(wanted))),
			w.assigned(wanted)); err != nil {
			return err
		}
		_, err = w.run(ctx, "/opt/cni/bin/azure-vnet", "doctor")
		return err
	})
}

func same(what string, got, want any) error {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		return fmt.Errorf("%s differ: %s, and %s", what, g, w)
	}
	return nil
}

// assigned requires that Azure has given the node these addresses for pods.
func (w *worker) assigned(pods map[string]string) (err error) {
	nic := w.vm.Config.PrimaryNIC()
	for a, pod := range pods {
		if addr := netip.MustParseAddr(a); !slices.Contains(nic.Pods, addr) && !slices.Contains(nic.Pods6, addr) {
			err = errors.Join(err, fmt.Errorf("%s has %v, which is not of %s", pod, addr, w.name))
		}
	}
	return err
}

// said is what Kubernetes says of the node's pods, those with the node's own network left out: by their addresses. It is an error as long
// as one is not ready, or going.
func (c *cluster) said(ctx context.Context, w *worker) (map[string]string, error) {
	out, err := c.control.kubectl(ctx, "", "get", "pods", "--all-namespaces", "--field-selector=spec.nodeName="+w.name, "-o", "json")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Namespace, Name, DeletionTimestamp string }
			Spec     struct{ HostNetwork bool }
			Status   struct {
				PodIPs     []struct{ IP string }
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, err
	}
	pods := map[string]string{}
	for _, p := range list.Items {
		name := p.Metadata.Namespace + "/" + p.Metadata.Name
		ready := false
		for _, c := range p.Status.Conditions {
			ready = ready || c.Type == "Ready" && c.Status == "True"
		}
		if !ready || p.Metadata.DeletionTimestamp != "" {
			return nil, fmt.Errorf("%s is not ready, or going", name)
		}
		for _, a := range p.Status.PodIPs {
			if p.Spec.HostNetwork {
				continue
			}
			if other, twice := pods[a.IP]; twice {
				return nil, fmt.Errorf("%s and %s have %s", name, other, a.IP)
			}
			pods[a.IP] = name
		}
	}
	return pods, nil
}

// kept is whom the plugin has given addresses, by them.
func (w *worker) kept(ctx context.Context) (map[string]string, error) {
	out, err := w.run(ctx, "/opt/cni/bin/azure-vnet-ipam", "show", "-o", "json")
	if err != nil {
		return nil, err
	}
	var state struct {
		Pools []struct {
			Reservations []struct{ Address, Pod string }
		}
	}
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		return nil, fmt.Errorf("azure-vnet-ipam show: %w: %s", err, out)
	}
	pods := map[string]string{}
	for _, pool := range state.Pools {
		for _, r := range pool.Reservations {
			pods[r.Address] = r.Pod
		}
	}
	return pods, nil
}

// there are the addresses that the node's namespaces have, in order.
func (w *worker) there(ctx context.Context) ([]string, error) {
	const list = `for n in /run/netns/*; do nsenter --net="$n" ip -o address show scope global; done`
	out, err := w.run(ctx, "sh", "-c", list)
	if err != nil {
		return nil, err
	}
	var addrs []string
	for line := range strings.Lines(out) { // 2: eth0    inet 10.240.1.5/16 …
		if f := strings.Fields(line); len(f) > 3 {
			a, _, _ := strings.Cut(f[3], "/")
			addrs = append(addrs, a)
		}
	}
	slices.Sort(addrs)
	return addrs, nil
}
