package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"
)

// enough is how many frames a witness writes down.
const enough = 200

// witness writes down what a VM sends in the name of somebody else, which the fabric drops and counts, until ctx ends.
//
// kube-proxy makes nodes do so, and those frames are counted as relayed. Nobody would answer them on Azure, either:
//   - A node whose clusterCIDR is the VNET takes the pods of other nodes for its own. What they send to a port of this node, for a Service
//     of externalTrafficPolicy Local, it sends on to backends on other nodes, without putting its own address there.
//   - A connection that was translated to a pod of this node stays so when that is gone, and the node sends its packets to the fabric.
func (c *cluster) witness(ctx context.Context, number int, m *machine) error {
	frames, err := c.fabric.Ns().Frames(fmt.Sprintf("f%d", number))
	if err != nil {
		return err
	}
	log, err := os.Create(m.log("foreign"))
	if err != nil {
		_ = frames.Close()
		return err
	}
	own := m.vm.Config.PrimaryNIC().Addresses()
	var others, pods []netip.Addr // addresses of other VMs; those of all pods
	for _, vm := range c.fabric.VMs {
		nic := vm.Config.PrimaryNIC()
		pods = slices.Concat(pods, nic.Pods, nic.Pods6)
		if vm != m.vm {
			others = append(others, nic.Addresses()...)
		}
	}
	for _, lb := range frontends(loadBalancers) {
		own = append(own, lb.Frontend)
	}
	c.background.Go(func() {
		defer func() { _, _ = frames.Close(), log.Close() }()
		for written := 0; ; {
			frame, err := frames.Receive(ctx)
			if err != nil {
				return
			}
			source, to, text := describe(frame)
			if !source.IsValid() || source.IsUnspecified() || source.IsLinkLocalUnicast() || slices.Contains(own, source) {
				continue
			}
			if slices.Contains(others, source) && slices.Contains(pods, to) {
				c.relayed.Add(1)
			}
			if written++; written <= enough {
				_, _ = fmt.Fprintf(log, "%s %s\n", time.Now().Format(time.TimeOnly), text)
			}
		}
	})
	return nil
}

// describe says who a frame is from, who it is for, and what it is.
func describe(frame []byte) (source, to netip.Addr, text string) {
	const header = 14
	if len(frame) < header+40 {
		frame = append(frame, make([]byte, header+40)...)
	}
	var protocol byte
	var rest []byte
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		source, to, protocol = netip.AddrFrom4([4]byte(frame[26:])), netip.AddrFrom4([4]byte(frame[30:])), frame[23]
		rest = frame[header+int(frame[14]&15)*4:]
	case 0x86dd:
		source, to, protocol = netip.AddrFrom16([16]byte(frame[22:])), netip.AddrFrom16([16]byte(frame[38:])), frame[20]
		rest = frame[header+40:]
	case 0x0806:
		source, to = netip.AddrFrom4([4]byte(frame[28:])), netip.AddrFrom4([4]byte(frame[38:]))
	default:
		return source, to, ""
	}
	return source, to, fmt.Sprintf("%v > %v protocol %d: % x", source, to, protocol, rest[:min(len(rest), 48)])
}
