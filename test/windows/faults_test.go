//go:build linux && wine

package windows

import (
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/hnssim"
)

// way is one of the two ways of a runtime.
type way struct {
	name  string
	netns func(h *host) string
}

var ways = []way{
	{"containerd", func(h *host) string { return h.hns.AddNamespace() }},
	{"docker", func(h *host) string { h.hns.AddContainer(id(1)); return "none" }},
}

// callsOf counts what an ADD, or the DEL after it, asks of HNS.
func (h *host) callsOf(command string, w way, conf map[string]any) int {
	h.Helper()
	ns := w.netns(h)
	h.hns.Forget()
	if command == "ADD" {
		h.wantResult(h.call("ADD", id(1), ns, conf))
		defer func() { h.wantSuccess(h.call("DEL", id(1), ns, conf)) }()
	} else {
		h.wantResult(h.call("ADD", id(1), ns, conf))
		h.hns.Forget()
		h.wantSuccess(h.call("DEL", id(1), ns, conf))
	}
	n := len(h.hns.Calls())
	h.hns.Forget()
	return n
}

// What a call of HNS can do to its caller.
const (
	fails        = "fails"
	failsTooLate = "fails, but was carried out"
	hangs        = "hangs, and fails at last"
	hangsTooLong = "hangs, and is carried out when nobody waits for it any more"
)

// limit is what the configuration gives a call of HNS. Calls that are to be answered have to be answered in that time on a
// busy machine, too.
const limit = 4 * time.Second

// The network is there in one run of all cases, and has to be made in the other. Each kind of fault has a host of its
// own: most of the time they wait.
func TestEveryCallOfHNSFailsOrHangs(t *testing.T) {
	for _, w := range ways {
		for _, c := range []struct {
			command string
			first   bool // the network has to be made
		}{{"ADD", true}, {"ADD", false}, {"DEL", false}} {
			for _, fault := range []string{fails, failsTooLate, hangs, hangsTooLong} {
				t.Run(fmt.Sprintf("%s, %s, the network has to be made: %v, it %s", w.name, c.command, c.first, fault), func(t *testing.T) {
					h := newHost(t, options{})
					h.failEach(w, c.command, c.first, fault)
				})
			}
		}
	}
}

func (h *host) failEach(w way, command string, first bool, fault string) {
	h.Helper()
	conf := h.conf(map[string]any{"windowsSettings": map[string]any{"hnsTimeoutDurationInSeconds": int(limit / time.Second)}})
	h.callsOf("ADD", w, conf) // without a state it also looks for addresses in use
	if first {
		h.forgetNetwork()
	}
	calls := h.callsOf(command, w, conf)
	if calls < 1 {
		h.Fatalf("%s asks HNS %d times", command, calls)
	}
	h.Logf("%s makes %d calls", command, calls)
	for nth := 1; nth <= calls; nth++ {
		if first {
			h.forgetNetwork()
		}
		h.oneFault(w, command, conf, nth, fault)
		if h.Failed() {
			h.Fatalf("call %d of %s %s", nth, command, fault)
		}
	}
}

// forgetNetwork takes the network away, as a reboot does.
func (h *host) forgetNetwork() {
	h.Helper()
	r, err := h.node.Operator(h.ctx, "azure-vnet", "cleanup", "--yes")
	h.must(err)
	h.wantExit0("cleanup", r)
}

func (h *host) oneFault(w way, command string, conf map[string]any, nth int, fault string) {
	h.Helper()
	ns := w.netns(h)
	if command == "DEL" {
		h.wantResult(h.call("ADD", id(1), ns, conf))
	}
	h.hns.Forget()
	f := h.fault(nth, fault)
	began := time.Now()
	r := h.call(command, id(1), ns, conf)
	if took := time.Since(began); took > 10*limit {
		h.Errorf("it took %s, with %s for a call", took, limit)
	}
	if r.Exit != 0 {
		h.wantError(r, 11)
		if command == "ADD" {
			h.wantNothing()
		}
	}
	f.end()
	h.wantSuccess(h.call("DEL", id(1), ns, conf)) // the retry
	h.wantNothing()
}

// planned is a fault that a call meets.
type planned struct {
	*host
	hang              chan struct{}
	reached, answered chan struct{}
}

// fault lets the nth call from now on meet a fault.
func (h *host) fault(nth int, fault string) planned {
	f := planned{h, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	rule := hnssim.Rule{Nth: nth, Reached: f.reached, Answered: f.answered, After: fault == failsTooLate}
	if fault != hangsTooLong {
		rule.Code = hnssim.Timeout
	}
	if fault == hangs || fault == hangsTooLong {
		rule.Until = f.hang
	}
	h.hns.On(rule)
	return f
}

// end lets a call that hangs go on, waits until HNS is done with it, and requires that there was one.
func (f planned) end() {
	f.Helper()
	select {
	case <-f.reached:
	default:
		f.Fatal("there was no such call")
	}
	close(f.hang)
	<-f.answered
}

// The containers of a pod that share its endpoint: whatever fails, the endpoint and its address stay the sandbox's.
func TestEveryCallOfHNSForASharedEndpoint(t *testing.T) {
	for _, command := range []string{"ADD", "DEL"} {
		for _, fault := range []string{fails, failsTooLate, hangs, hangsTooLong} {
			t.Run(command+", it "+fault, func(t *testing.T) { newHost(t, options{}).failEachShared(command, fault) })
		}
	}
}

func (h *host) failEachShared(command, fault string) {
	h.Helper()
	conf := h.conf(map[string]any{"windowsSettings": map[string]any{"hnsTimeoutDurationInSeconds": int(limit / time.Second)}})
	sandbox, workload, netns := id(1), id(2), "container:"+id(1)
	h.hns.AddContainer(sandbox)
	h.hns.AddContainer(workload)
	h.wantResult(h.call("ADD", sandbox, "none", conf))
	prepare := func() {
		if command == "DEL" {
			h.wantResult(h.call("ADD", workload, netns, conf))
		}
		h.hns.Forget()
	}
	prepare()
	h.wantExit0(command, h.call(command, workload, netns, conf))
	calls := len(h.hns.Calls())
	h.wantSuccess(h.call("DEL", workload, netns, conf))
	if calls < 2 {
		h.Fatalf("%s makes %d calls", command, calls)
	}
	for nth := 1; nth <= calls; nth++ {
		prepare()
		f := h.fault(nth, fault)
		if r := h.call(command, workload, netns, conf); r.Exit != 0 {
			h.wantError(r, 11)
		}
		f.end()
		if command == "ADD" {
			h.wantResult(h.call("ADD", workload, netns, conf)) // the retry
		}
		h.wantSuccess(h.call("DEL", workload, netns, conf))
		if e, r := h.hns.Endpoints(), h.reservations(); len(e) != 1 || len(e[0].Containers()) != 1 || len(r) != 1 {
			h.Fatalf("call %d of %s %s: endpoints %+v, addresses %v", nth, command, fault, e, r)
		}
	}
	h.hns.Forget()
	h.wantSuccess(h.call("DEL", sandbox, "none", conf))
	h.wantNothing()
}

// An answer that nobody waits for any more, after the DEL: the endpoint that it made stands in nobody's way.
func TestAnEndpointThatIsMadeTooLate(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			h := newHost(t, options{fabric: fabric.Default(1, 1)})
			conf := h.conf(map[string]any{"windowsSettings": map[string]any{"hnsTimeoutDurationInSeconds": int(limit / time.Second)}})
			ns := w.netns(h)
			hang, answered := make(chan struct{}), make(chan struct{})
			h.hns.On(hnssim.Rule{Op: hnssim.Create, Kind: hnssim.KindEndpoint, Nth: 1, Until: hang, Answered: answered})
			h.wantError(h.call("ADD", id(1), ns, conf), 11, id(1)+"-eth0-azure", "no answer")
			h.wantSuccess(h.call("DEL", id(1), ns, conf))
			close(hang)
			<-answered
			if e := h.hns.Endpoints(); len(e) != 1 {
				t.Fatalf("endpoints: %+v", e)
			}
			h.hns.AddContainer(id(2))
			h.wantResult(h.call("ADD", id(2), ns, conf)) // with the one address that there is
			if e := h.hns.Endpoints(); len(e) != 1 || e[0].Name != id(2)+"-eth0-azure" {
				t.Errorf("endpoints: %+v", e)
			}
			h.wantSuccess(h.call("DEL", id(2), ns, conf))
			h.wantNothing()
		})
	}
}

// All of HNS hangs: commands end all the same, and what they could not finish they leave to the next one.
func TestAllOfHNSHangs(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{"windowsSettings": map[string]any{"hnsTimeoutDurationInSeconds": int(limit / time.Second)}})
	ns := h.hns.AddNamespace()
	hang := make(chan struct{})
	h.hns.On(hnssim.Rule{Until: hang})
	h.wantError(h.call("ADD", id(1), ns, conf), 11, "no answer")
	close(hang)
	h.wantNothing()
	h.hns.Forget()
	h.wantResult(h.call("ADD", id(1), ns, conf))
	hang = make(chan struct{})
	h.hns.On(hnssim.Rule{Until: hang})
	h.wantError(h.call("DEL", id(1), ns, conf), 11, "no answer")
	if r := h.reservations(); len(r) != 1 {
		t.Errorf("the address of an endpoint that is still there was freed: %v", r)
	}
	close(hang)
	h.hns.Forget()
	h.wantSuccess(h.call("DEL", id(1), ns, conf))
	h.wantNothing()
}
