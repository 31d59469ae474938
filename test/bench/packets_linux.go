package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// packets measures what a packet costs from pod to pod of one VM, over a bridge without any rules, over the reference plugin's,
// and over ours; with two pods there and with 250.
func (b *bench) packets(ctx context.Context) error {
	for _, p := range []pair{pairs[0], pairs[2]} {
		for _, there := range []int{2, present} {
			took, err := b.paths(ctx, p, there)
			if err != nil {
				return fmt.Errorf("%s mode: %w", p.mode, err)
			}
			group := fmt.Sprintf("pod to pod, %s mode, %d pods", p.mode, there)
			for _, m := range measures {
				target := 0.0
				if there == present && p.mode == "bridge" {
					target = 1.25
				}
				b.report.compare(group, m.name+", reference: a plain bridge", "ms", took["ours "+m.name], took["plain "+m.name], target)
				b.report.compare(group, m.name+", reference: "+p.name, "ms", took["ours "+m.name], took["reference "+m.name], 0)
			}
		}
	}
	return nil
}

const (
	bulk   = 64 << 20 // bytes of one measurement of throughput
	piece  = 64 << 10
	trips  = 1000
	trains = 50 // of small packets, as many as a socket's buffer can hold
	train  = 100
)

var measures = []struct {
	name string
	run  func(*path) error
}{
	{"64 MiB by TCP", (*path).transfer}, {"64 MiB by TCP, the other way", (*path).back},
	{"1000 round trips by UDP", (*path).roundTrips}, {"5000 small packets by UDP", (*path).smallPackets},
}

// path is two pods that talk to each other.
type path struct {
	name      string
	tcp, peer net.Conn
	udp       net.Conn // to socket, which answers what does not begin with 0
	socket    net.PacketConn
}

func (b *bench) paths(ctx context.Context, p pair, there int) (_ map[string][]float64, err error) {
	v, err := b.vm(p, there+10)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	var paths []*path
	defer func() {
		for _, p := range paths {
			p.close()
		}
	}()
	open := func(name string, from, to *fabric.Namespace, at netip.Addr) error {
		p, err := openPath(ctx, name, from, to, at)
		if err == nil {
			paths = append(paths, p)
		}
		return err
	}
	for i, list := range v.lists {
		var ends [2]*fabric.Namespace
		var last netip.Addr
		for n := range there {
			pod, err := v.AddPod(ctx, list)
			if err != nil {
				return nil, err
			}
			if n >= there-2 {
				ends[n-there+2], last = pod.NS, pod.Addr(false)
			}
		}
		if err := open([]string{"ours", "reference"}[i], ends[0], ends[1], last); err != nil {
			return nil, err
		}
	}
	from, to, at, err := v.plainBridge(ctx, there)
	if err == nil {
		err = open("plain", from, to, at)
	}
	if err != nil {
		return nil, err
	}
	took := map[string][]float64{}
	for range 15 {
		for _, m := range measures {
			for _, p := range paths {
				begun := time.Now()
				if err := m.run(p); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", p.name, m.name, err)
				}
				took[p.name+" "+m.name] = append(took[p.name+" "+m.name], time.Since(begun).Seconds()*1e3)
			}
		}
	}
	return took, nil
}

// plainBridge makes a bridge with pods by hand, and returns the last two and the address of the last.
func (v *vm) plainBridge(ctx context.Context, pods int) (from, to *fabric.Namespace, at netip.Addr, err error) {
	var lines strings.Builder
	fmt.Fprintln(&lines, "link add plain0 up type bridge mcast_snooping 0")
	for i := range pods {
		ns, err := v.VM.NewPod(fmt.Sprintf("plain%d", i))
		if err != nil {
			return nil, nil, at, err
		}
		from, to, at = to, ns, netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i + 1)})
		line := fmt.Sprintf("link add plain%d up mtu 1500 master plain0 type veth peer name eth0 mtu 1500 netns %s", i+1, ns.Path())
		if err := v.ip(ctx, v.VM.Ns, line+"\n", lines.String()); err != nil {
			return nil, nil, at, err
		}
		lines.Reset()
		if err := v.ip(ctx, ns, fmt.Sprintf("link set eth0 up\naddr add %s/16 dev eth0\n", at), ""); err != nil {
			return nil, nil, at, err
		}
	}
	return from, to, at, nil
}

// ip runs "ip -batch" inside a namespace.
func (v *vm) ip(ctx context.Context, ns *fabric.Namespace, batch, before string) error {
	cmd := ns.Command(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(before + batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", batch, err, out)
	}
	return nil
}

func openPath(ctx context.Context, name string, from, to *fabric.Namespace, at netip.Addr) (p *path, err error) {
	p = &path{name: name}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	address := net.JoinHostPort(at.String(), "7000")
	listener, err := to.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	if p.tcp, err = from.Dial(ctx, "tcp", address); err != nil {
		return nil, err
	}
	if p.peer, err = listener.Accept(); err != nil {
		return nil, err
	}
	if p.socket, err = to.ListenPacket("udp", address); err != nil {
		return nil, err
	}
	if p.udp, err = from.Dial(ctx, "udp", address); err != nil {
		return nil, err
	}
	go p.echo()
	return p, nil
}

func (p *path) close() {
	for _, c := range []io.Closer{p.tcp, p.peer, p.udp, p.socket} {
		if c != nil {
			_ = c.Close()
		}
	}
}

func (p *path) echo() {
	buf := make([]byte, 2048)
	for {
		n, from, err := p.socket.ReadFrom(buf)
		if err != nil {
			return
		}
		if buf[0] != 0 {
			_, _ = p.socket.WriteTo(buf[:n], from)
		}
	}
}

func (p *path) transfer() error { return transfer(p.tcp, p.peer) }
func (p *path) back() error     { return transfer(p.peer, p.tcp) }

func transfer(from, to net.Conn) error {
	sent := make(chan error, 1)
	go func() {
		data := make([]byte, piece)
		for left := bulk; left > 0; left -= piece {
			if _, err := from.Write(data); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	if _, err := io.CopyN(io.Discard, to, bulk); err != nil {
		return err
	}
	return <-sent
}

func (p *path) roundTrips() error {
	for range trips {
		if err := p.ask(); err != nil {
			return err
		}
	}
	return nil
}

// smallPackets sends many without an answer, then one with: a packet overtakes none of its flow.
func (p *path) smallPackets() error {
	data := make([]byte, 64)
	for range trains {
		for range train {
			if _, err := p.udp.Write(data); err != nil {
				return err
			}
		}
		if err := p.ask(); err != nil {
			return err
		}
	}
	return nil
}

func (p *path) ask() error {
	data := make([]byte, 64)
	data[0] = 1
	if err := p.udp.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := p.udp.Write(data); err != nil {
		return err
	}
	_, err := io.ReadAtLeast(p.udp, data, 1)
	return err
}
