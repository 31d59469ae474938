package traffic

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// beat is how often a stream says something.
const beat = 5 * time.Millisecond

// Stream is one TCP connection on which one side says a byte all the time, and the other repeats it.
type Stream struct {
	conn, peer net.Conn

	mu       sync.Mutex
	answers  int
	last     time.Time
	longest  time.Duration
	finished error
}

// OpenStream connects the two. address is that of the other place, with a port that is free there.
func OpenStream(ctx context.Context, from, to *fabric.Namespace, address string) (*Stream, error) {
	listener, err := to.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	conn, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	peer, err := listener.Accept()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &Stream{conn: conn, peer: peer, last: time.Now()}
	go func() { _, _ = io.Copy(peer, peer) }()
	go s.say()
	go s.hear()
	return s, nil
}

func (s *Stream) say() {
	for {
		if _, err := s.conn.Write([]byte{1}); err != nil {
			return // hear says why
		}
		time.Sleep(beat)
	}
}

func (s *Stream) hear() {
	buf := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buf)
		s.mu.Lock()
		now := time.Now()
		s.answers, s.longest, s.last = s.answers+n, max(s.longest, now.Sub(s.last)), now
		s.finished = err
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Answers is how many bytes came back until now, and what ended the connection, if anything.
func (s *Stream) Answers() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers, s.finished
}

// Longest is the longest time without an answer since it was asked for last.
func (s *Stream) Longest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := max(s.longest, time.Since(s.last))
	s.longest = 0
	return longest
}

// Close ends it.
func (s *Stream) Close() { _ = errors.Join(s.conn.Close(), s.peer.Close()) }
