package hnssim

import (
	"slices"
	"strings"
)

// Operations of a [Call], the same for both versions of the interface.
const (
	Create    = "Create"
	Open      = "Open" // v2 and HCS only: v1 has no handles
	Query     = "Query"
	Enumerate = "Enumerate"
	Modify    = "Modify"
	Delete    = "Delete"
	Attach    = "Attach" // v1: to a container or the host
	Detach    = "Detach"

	// AnyChange in a Rule stands for all operations that change something.
	AnyChange = "change"
)

// Kinds of what a [Call] is about.
const (
	KindNetwork      = "Network"
	KindEndpoint     = "Endpoint"
	KindNamespace    = "Namespace"
	KindLoadBalancer = "LoadBalancer"
	KindRoute        = "SdnRoute"
	KindSystem       = "ComputeSystem" // a container of HCS
	KindOther        = "Other"         // v1: globals, statistics
)

// Interfaces that a [Call] may come by.
const (
	HCN = "HCN" // v2, computenetwork.dll
	HNS = "HNS" // v1, HNSCall of vmcompute.dll
	HCS = "HCS" // vmcompute.dll
)

// Call is one call that was answered.
type Call struct {
	API, Op, Kind string
	ID            string // of the object; of the network for Create Endpoint by HCN
	Body          string
	Code          uint32 // 0 or the HRESULT of the failure
	Why           string // it failed; the caller is told only what Windows tells
	path          string // v1: the words of the path
	method        string // v1
}

func (c *Call) changes() bool {
	return c.Op != Open && c.Op != Query && c.Op != Enumerate
}

// Rule says what happens to some calls, beside or instead of what they ask for.
type Rule struct {
	// Op and Kind say which calls; empty means any.
	Op, Kind string
	// Nth of these calls, from 1, counted from when the rule was set. Zero means each.
	Nth int
	// Code is the HRESULT with which the call fails; 0 lets it go on.
	Code uint32
	// After lets the call be carried out before it fails: what the caller sees of a timeout that came too late.
	After bool
	// Until lets the call wait until the channel is closed, before anything else is done. Other calls go on.
	Until <-chan struct{}
	// Reached, if not nil, is closed when the first such call is there.
	Reached chan<- struct{}
	// Answered, if not nil, is closed when the first such call has been carried out, or has failed.
	Answered chan<- struct{}
}

type rule struct {
	Rule
	seen int
}

// On sets a rule. All rules are looked at, in the order in which they were set, and the first one that fits is applied.
func (s *Server) On(r Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{Rule: r})
}

// Forget drops the rules and the calls so far; what there is stays.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.calls = nil, nil
}

// Calls returns what was answered so far, in that order.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Changes returns the calls that were to change something, one a line, without their bodies.
func (s *Server) Changes() string {
	var b strings.Builder
	for _, c := range s.Calls() {
		if c.changes() {
			b.WriteString(c.API + " " + c.Op + " " + c.Kind)
			if c.Code != 0 {
				b.WriteString(" failed")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// match counts a call and returns the rule for it, if there is one.
func (s *Server) match(c *Call) (found *rule) {
	for _, r := range s.rules {
		if r.Kind != "" && r.Kind != c.Kind || r.Op == AnyChange && !c.changes() ||
			r.Op != "" && r.Op != AnyChange && r.Op != c.Op {
			continue
		}
		r.seen++
		if found == nil && (r.Nth == 0 || r.Nth == r.seen) {
			found = r
			if r.Reached != nil {
				close(r.Reached)
				r.Reached = nil
			}
		}
	}
	return found
}

// answer carries a call out, as the rules have it.
func (s *Server) answer(c Call) answer {
	s.mu.Lock()
	r := s.match(&c)
	s.mu.Unlock()
	if r != nil && r.Until != nil {
		select {
		case <-r.Until:
		case <-s.done:
			return answer{code: eFail}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var reply any
	var err error
	if r == nil || r.Code == 0 || r.After {
		reply, err = s.m.carryOut(&c)
	}
	if r != nil && r.Code != 0 {
		err = fail(r.Code, "failed on behalf of the test")
	}
	a := c.reply(reply, err)
	if c.Code = codeOf(err); err != nil {
		c.Why = err.Error()
	}
	s.calls = append(s.calls, c)
	if r != nil && r.Answered != nil {
		close(r.Answered)
		r.Answered = nil
	}
	return a
}
