//go:build linux

// Package traffic measures what packets cost between two places of a fabric: one connection of TCP, and a socket of UDP
// that answers.
package traffic

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

const (
	bulk   = 64 << 20 // bytes of one measurement of throughput
	piece  = 64 << 10
	trips  = 1000
	trains = 50 // of small packets, as many as a socket's buffer can hold
	train  = 100
)

// Measures are what can be measured of a path, in the order in which people read it.
var Measures = []struct {
	Name string
	Run  func(*Path) error
}{
	{"64 MiB by TCP", (*Path).transfer}, {"64 MiB by TCP, the other way", (*Path).back},
	{"1000 round trips by UDP", (*Path).roundTrips}, {"5000 small packets by UDP", (*Path).smallPackets},
}

// Path is a way from one place to another.
type Path struct {
	// Lost are datagrams that were sent again because no answer came. The kernel has one queue for the frames of all
	// virtual links, and a frame that floods hundreds of ports, of whichever bridge, may fill it.
	Lost int

	tcp, peer net.Conn
	udp       net.Conn // to socket, which answers what does not begin with 0
	socket    net.PacketConn
	asked     uint32
}

// Open connects the two. address is that of the other place, with a port that is free there.
func Open(ctx context.Context, from, to *fabric.Namespace, address string) (p *Path, err error) {
	p = &Path{}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
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

// Close ends the connections.
func (p *Path) Close() {
	for _, c := range []io.Closer{p.tcp, p.peer, p.udp, p.socket} {
		if c != nil {
			_ = c.Close()
		}
	}
}

func (p *Path) echo() {
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

func (p *Path) transfer() error { return transfer(p.tcp, p.peer) }
func (p *Path) back() error     { return transfer(p.peer, p.tcp) }

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

func (p *Path) roundTrips() error {
	for range trips {
		if err := p.ask(); err != nil {
			return err
		}
	}
	return nil
}

// smallPackets sends many without an answer, then one with: a packet overtakes none of its flow.
func (p *Path) smallPackets() error {
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

// ask sends a datagram and waits for its answer. It gives up when three in a row are lost.
func (p *Path) ask() (err error) {
	data, answer := make([]byte, 64), make([]byte, 64)
	p.asked++
	data[0] = 1
	binary.BigEndian.PutUint32(data[1:], p.asked)
	for range 3 {
		if err = p.udp.SetReadDeadline(time.Now().Add(time.Second)); err != nil { // a write waits for nobody
			return err
		}
		if _, err = p.udp.Write(data); err != nil {
			return err
		}
		for err == nil && !bytes.Equal(answer, data) { // a late one is of another
			_, err = p.udp.Read(answer)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		p.Lost++
	}
	return err
}
