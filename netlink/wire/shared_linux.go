package wire

import "sync"

// Shared keeps the socket that was closed last, one for each protocol, for whoever opens the next: what a command asks
// one after the other goes over one socket, and who asks meanwhile has another. A socket stays in the network namespace
// in which it was opened, so all who share are to be in one. What it keeps stays open until the process ends. A nil
// Shared keeps nothing.
type Shared struct {
	mu   sync.Mutex
	idle map[int]*Socket // by protocol
}

// Open is the function Open, unless a socket of the protocol is idle.
func (p *Shared) Open(protocol int) (*Socket, error) {
	if p == nil {
		return Open(protocol)
	}
	if s := p.take(protocol); s != nil {
		return s, nil
	}
	s, err := Open(protocol)
	if err != nil {
		return nil, err
	}
	s.giveBack = func() bool { return p.keep(protocol, s) }
	return s, nil
}

func (p *Shared) take(protocol int) *Socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.idle[protocol]
	delete(p.idle, protocol)
	return s
}

// keep says whether it keeps the socket: no second one, and none on which an answer may still arrive.
func (p *Shared) keep(protocol int, s *Socket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.failed || p.idle[protocol] != nil {
		return false
	}
	if p.idle == nil {
		p.idle = map[int]*Socket{}
	}
	p.idle[protocol] = s
	return true
}
