// Package hnssim simulates Windows' Host Networking Service for tests on Linux.
//
// A Windows program on Wine loads our computenetwork.dll and vmcompute.dll (folder dll), which send every call over
// loopback TCP to a [Server] in the test's process: HCN v2 (networks, endpoints, namespaces, load balancers, SDN
// routes), HNS v1 (networks, endpoints), and of HCS what attaches an endpoint to a running container. Several programs
// see one HNS.
//
// The server is the only judge that there is, so it is stricter than Windows: what a caller gets wrong is an error,
// also where Windows would shrug (see docs/windows.md, and Options.Lenient). How Windows answers is not decided here where
// it was recorded: see Facts. It remembers every call, and can fail, delay and hang any of
// them.
package hnssim

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// Address is the environment variable in which the DLLs find the server: 127.0.0.1:port.
const Address = "HNSSIM_ADDR"

// Options describe the host.
type Options struct {
	// Adapters are the names of the host's network adapters. Nil means "Ethernet" and "Ethernet 2".
	Adapters []string
	// Facts are how Windows does what is not known for certain. Without answers: Facts().
	Facts selftest.Facts
	// Version of HNS. The zero version means that of the facts.
	Version Version
	// Lenient takes what Windows takes, and other programs live from, though a plugin of ours that sends it is wrong:
	// endpoints without a name, or with one that is there, without a prefix length, with a MAC that is there, routes by
	// 0.0.0.0, namespaces of schema 0.0.
	Lenient bool
}

// Version of HNS.
type Version struct{ Major, Minor int }

// Server is one simulated HNS. Its methods may be called from any goroutine.
type Server struct {
	o        Options
	listener net.Listener
	done     chan struct{} // closed by Close
	serving  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	calls []Call
	rules []*rule
	m     model
}

// Serve answers on a listener until Close. The listener must be one of the loopback interface that the Windows programs
// see: of the network namespace in which wineserver runs.
func Serve(l net.Listener, o Options) *Server {
	if o.Adapters == nil {
		o.Adapters = []string{"Ethernet", "Ethernet 2"}
	}
	if o.Facts.Answers == nil {
		o.Facts = Facts()
	}
	if o.Version == (Version{}) {
		o.Version = Version(o.Facts.HNS)
	}
	s := &Server{o: o, listener: l, done: make(chan struct{}), conns: map[net.Conn]bool{}, m: newModel(o)}
	s.serving.Go(s.accept)
	return s
}

// Env is what the environment of a Windows program needs, so that its calls come here.
func (s *Server) Env() string { return Address + "=" + s.listener.Addr().String() }

// Close ends the service. Calls that wait are not carried out.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	close(s.done)
	for c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	s.conns = nil
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil { // closed
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(c) })
	}
}

// serve answers the one call of a connection. A caller that was killed is not told; what it asked for is done all the
// same.
func (s *Server) serve(c net.Conn) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conns[c] {
			delete(s.conns, c)
			_ = c.Close()
		}
	}()
	r := bufio.NewReader(c)
	var words [4]string // what a DLL sends: operation, kind or method, id or path, body
	for i := range words {
		word, err := readString(r)
		if err != nil {
			return
		}
		words[i] = word
	}
	a := s.answer(parse(words))
	w := bufio.NewWriter(c)
	_ = binary.Write(w, binary.LittleEndian, a.code) // Flush has the error
	for _, text := range []*string{a.output, a.result, a.id} {
		writeString(w, text)
	}
	_ = w.Flush() // the caller may be gone
}

// maxString bounds what a call may carry, in bytes.
const maxString = 4 << 20

func readString(r io.Reader) (string, error) {
	var n int32
	if err := binary.Read(r, binary.LittleEndian, &n); err != nil {
		return "", err
	}
	if n < 0 || n > maxString {
		return "", fmt.Errorf("a string of %d bytes", n)
	}
	text := make([]byte, n)
	_, err := io.ReadFull(r, text)
	return string(text), err
}

// writeString writes a length and the text; nil, which is NULL to the caller, has the length -1.
func writeString(w *bufio.Writer, text *string) {
	n := int32(-1)
	if text != nil {
		n = int32(len(*text))
	}
	_ = binary.Write(w, binary.LittleEndian, n)
	if text != nil {
		_, _ = w.WriteString(*text)
	}
}

// answer is what an export returns. Nil is NULL.
type answer struct {
	code   uint32  // HRESULT
	output *string // properties, a list, the response of HNSCall
	result *string // the error record of HCN and HCS; it must be NULL on success
	id     *string // of what was created, for the handle
}
