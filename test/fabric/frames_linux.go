package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Frames sends and receives whole Ethernet frames on one interface.
type Frames struct {
	file *os.File
}

// Frames opens an interface of the namespace for raw frames. Received are the
// frames that arrive there from now on, not those that leave.
func (n *Namespace) Frames(ifName string) (*Frames, error) {
	var f *Frames
	err := n.Do(func() (err error) {
		f, err = openFrames(ifName)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open %s in namespace %s: %w", ifName, n.name, err)
	}
	return f, nil
}

func openFrames(ifName string) (*Frames, error) {
	ifi, err := net.InterfaceByName(ifName)
	if err != nil {
		return nil, err
	}
	// Protocol 0: nothing is received before bind names the interface.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	f := &Frames{file: os.NewFile(uintptr(fd), ifName)}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	if err == nil {
		all := unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: ifi.Index})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bind packet socket: %w", err), f.file.Close())
	}
	return f, nil
}

// Send sends a frame, unchanged.
func (f *Frames) Send(frame []byte) error {
	_, err := f.file.Write(frame)
	return err
}

// Receive waits for the next frame that arrives. One goroutine may receive at
// a time.
func (f *Frames) Receive(ctx context.Context) ([]byte, error) {
	if err := f.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = f.file.SetReadDeadline(time.Unix(1, 0))
		close(woken)
	})
	frame := make([]byte, 64<<10)
	n, err := f.file.Read(frame)
	if !stop() {
		<-woken // or it would disturb the next call
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ctx.Err()
	}
	return frame[:max(n, 0)], err
}

// Close closes the socket.
func (f *Frames) Close() error { return f.file.Close() }

// errNoRequest: a frame is not for this server.
var errNoRequest = errors.New("no request")

// serveFrames answers whole frames that arrive at a port, until it is stopped: before the rules see them.
func (f *Fabric) serveFrames(p *port, answer func(frame []byte) ([]byte, error)) (stop func() error, err error) {
	frames, err := f.ns.Frames(p.name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			frame, err := frames.Receive(ctx)
			if err != nil {
				return
			}
			if back, err := answer(frame); err == nil {
				_ = frames.Send(back) // the NIC may be down
			}
		}
	})
	return sync.OnceValue(func() error {
		cancel()
		wg.Wait()
		return frames.Close()
	}), nil
}
