//go:build linux

package e2e

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// BenchmarkPerPacket compares what a packet costs on a VM with one pod and on one with 250: throughput up and down, round
// trips, and small packets. The two VMs are measured in turn, so that whatever else the machine does hits both alike, and
// medians are compared. It fails when 250 pods make anything more than a tenth dearer.
func BenchmarkPerPacket(b *testing.B) {
	const pods, rounds = 250, 25
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		b.Run(mode, func(b *testing.B) {
			f, err := fabric.New(fabric.Default(2, pods))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = f.Close() })
			lone, full := benchPods(b, f.VMs[0], mode, 1), benchPods(b, f.VMs[1], mode, pods)
			ends := []*end{newEnd(b, f, lone[0], "7001"), newEnd(b, f, full[len(full)-1], "7002")}
			measures := map[string]func(*end) error{"up": (*end).up, "down": (*end).down, "round-trip": (*end).roundTrips, "small-packets": (*end).smallPackets}
			took := map[string][2][]time.Duration{}
			for b.Loop() {
				for range rounds {
					for name, measure := range measures {
						of := took[name]
						for i, e := range ends {
							begun := time.Now()
							if err := measure(e); err != nil {
								b.Fatalf("%s: %v", name, err)
							}
							of[i] = append(of[i], time.Since(begun))
						}
						took[name] = of
					}
				}
			}
			b.ReportMetric(0, "ns/op") // of all rounds together: says nothing
			for name, of := range took {
				one, many := median(of[0]), median(of[1])
				ratio := float64(many) / float64(one)
				b.ReportMetric(ratio, name+"-ratio")
				if ratio > 1.1 {
					b.Errorf("%s mode, %s: %s with %d pods, %s with one: %.2f times as long, 1.10 is the limit", mode, name, many, pods, one, ratio)
				}
			}
		})
	}
}

func benchPods(b *testing.B, vm *fabric.VM, mode string, count int) []*node.Pod {
	b.Helper()
	n, err := node.New(vm, b.TempDir(), binaries, reference)
	if err != nil {
		b.Fatal(err)
	}
	list, err := node.List(n.Conf(map[string]any{"mode": mode, "logLevel": "error"}))
	if err != nil {
		b.Fatal(err)
	}
	pods := make([]*node.Pod, count)
	for i := range pods {
		if pods[i], err = n.AddPod(context.Background(), list); err != nil {
			b.Fatal(err)
		}
	}
	return pods
}

// end is a pod that talks to the remote host.
type end struct {
	tcp, peer net.Conn // two ends of one connection
	udp       net.Conn // to a socket that answers what begins with 1, and with 2 the last of many
}

const (
	bulk  = 64 << 20 // bytes of one measurement of throughput
	piece = 64 << 10
	trips = 1000
	// Small packets: bursts that a socket's buffer can hold.
	bursts = 50
	burst  = 100
)

func newEnd(b *testing.B, f *fabric.Fabric, p *node.Pod, port string) *end {
	b.Helper()
	at := net.JoinHostPort(remoteHost.String(), port)
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	listener, err := f.Ns().Listen("tcp", at)
	check(err)
	defer func() { _ = listener.Close() }()
	e := &end{}
	e.tcp, err = p.NS.Dial(b.Context(), "tcp", at)
	check(err)
	e.peer, err = listener.Accept()
	check(err)
	socket, err := f.Ns().ListenPacket("udp", at)
	check(err)
	e.udp, err = p.NS.Dial(b.Context(), "udp", at)
	check(err)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := socket.ReadFrom(buf)
			if err != nil {
				return
			}
			if buf[0] != 0 {
				_, _ = socket.WriteTo(buf[:n], from)
			}
		}
	}()
	b.Cleanup(func() {
		_, _, _, _ = e.tcp.Close(), e.peer.Close(), e.udp.Close(), socket.Close()
	})
	return e
}

func (e *end) up() error   { return transfer(e.tcp, e.peer) }
func (e *end) down() error { return transfer(e.peer, e.tcp) }

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
	buf := make([]byte, piece)
	for left := bulk; left > 0; {
		n, err := to.Read(buf)
		if err != nil {
			return err
		}
		left -= n
	}
	return <-sent
}

func (e *end) roundTrips() error {
	for range trips {
		if err := e.echo(1); err != nil {
			return err
		}
	}
	return nil
}

// smallPackets sends many without an answer, then one with, again and again: a packet overtakes none of its flow.
func (e *end) smallPackets() error {
	data := make([]byte, 64)
	for range bursts {
		for range burst {
			if _, err := e.udp.Write(data); err != nil {
				return err
			}
		}
		if err := e.echo(2); err != nil {
			return err
		}
	}
	return nil
}

func (e *end) echo(kind byte) error {
	data := make([]byte, 64)
	data[0] = kind
	if err := e.udp.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := e.udp.Write(data); err != nil {
		return err
	}
	_, err := io.ReadAtLeast(e.udp, data, 1)
	return err
}
