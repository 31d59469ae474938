package hnssim

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-container-networking/install/selftest"
	"github.com/google/go-cmp/cmp"
)

// V1 and V2 make a client what selftest asks: in its own program that are the DLLs.
func (c client) V1(method, path, body string) (string, selftest.HRESULT) {
	code, text := c.call("HNSCall", method, path, body)
	return text, selftest.HRESULT(code)
}

func (c client) V2(op, kind, id, body string) (string, selftest.HRESULT) {
	code, text := c.call(op, kind, id, body)
	if op == Create && code == 0 {
		code, text = c.call(Query, kind, text, everything)
	}
	return text, selftest.HRESULT(code)
}

func (c client) AddNeighbor(_ uint32, adapter net.HardwareAddr, hop netip.Addr) error {
	return fmt.Errorf("no neighbour %v of %v", hop, adapter)
}

const selftestName = selftest.Prefix + "hnssim"

// found is what selftest finds out, as far as the server's facts can say it.
func (c client) found(o Options) (got, want string) {
	c.Helper()
	f, err := selftest.Run(context.Background(), c, selftestName, 49152)
	if err != nil {
		c.Fatal(err)
	}
	w := o.Facts
	if want := "no neighbour 2001:db8::1 of 00:15:5d:fe:00:02"; f.IPv6Neighbor != want && f.Answers[selftest.MissingNamespace].V2 != nil {
		c.Errorf("the neighbour: %q", f.IPv6Neighbor)
	}
	f.IPv6Neighbor = ""
	f.Windows, w.Windows, w.Restart, w.Reboot, w.Host = "", "", nil, nil, nil
	return encode(f), encode(w)
}

// other are facts that differ from the guesses wherever they can.
func other() selftest.Facts {
	f := guessed()
	f.HNS = selftest.Version{Major: 15, Minor: 1}
	for c, both := range f.Answers {
		for _, a := range []*selftest.Answer{both.V1, both.V2} {
			switch {
			case a == nil:
			case a.Taken():
				*a = selftest.Answer{HRESULT: 0x80070057, Error: "Falscher Parameter.", ErrorCode: 0x80070057}
			case strings.HasPrefix(string(c), "missing"):
				*a = selftest.Answer{HRESULT: a.HRESULT + 0x100, Error: "Nicht gefunden."}
			default:
				*a = selftest.Answer{}
			}
		}
		if a := both.V1; a != nil && !a.Taken() { // v1 has no record beside an HRESULT
			*a = selftest.Answer{Error: a.Error, ErrorCode: a.ErrorCode}
		}
	}
	f.Capitals.V1, f.Capitals.V2, f.EndpointsGo = false, false, false
	f.V1States = selftest.States{Free: 3, Attached: 7}
	f.Restart, f.Reboot = &selftest.Kept{NetworkV1: true}, &selftest.Kept{NetworkV2: true, EndpointV2: true}
	return f
}

// What the selftest finds out on the simulator is what the simulator was told, whatever that is.
func TestSelftestFindsOutTheFacts(t *testing.T) {
	t.Parallel()
	unlike := other()
	noPolicies := guessed()
	for _, c := range []selftest.Case{selftest.ACL, selftest.OutBoundNAT, selftest.PortMapping} {
		no := selftest.Answer{HRESULT: Unsupported}
		noPolicies.Private[c] = selftest.Answers{V1: &no, V2: &no}
	}
	for name, facts := range map[string]selftest.Facts{"guesses": guessed(), "a recording unlike them": unlike,
		"no policies without an adapter": noPolicies} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Facts: facts, Lenient: true}
			c := newClient(t, o)
			got, want := c.found(o)
			var g, w map[string]any
			if err := json.Unmarshal([]byte(got), &g); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(want), &w); err != nil {
				t.Fatal(err)
			}
			if name == "no policies without an adapter" { // of these nothing is known
				answers, _ := w["answers"].(map[string]any)
				for _, c := range []selftest.Case{selftest.ACLTwice, selftest.AllowHost, selftest.AllowSwitch,
					selftest.Destinations, selftest.PortTaken} {
					delete(answers, string(c))
				}
			}
			if diff := cmp.Diff(w, g); diff != "" {
				t.Errorf("-told +found out\n%s", diff)
			}
			if n, e := c.Networks(), c.Endpoints(); len(n)+len(e)+len(c.m.namespaces) > 0 {
				t.Errorf("left: %v %v, %d namespaces", n, e, len(c.m.namespaces))
			}
		})
	}
}

// Whatever fails: the error says so, and nothing is left.
func TestSelftestLeavesNothing(t *testing.T) {
	t.Parallel()
	o := Options{Facts: guessed(), Lenient: true}
	c := newClient(t, o)
	c.must(Create, KindNetwork, "", networkV2)
	c.found(o)
	changes := strings.Count(c.Changes(), "\n")
	if changes < 50 {
		t.Fatalf("only %d calls change anything", changes)
	}
	for n := 1; n <= changes; n++ {
		for _, after := range []bool{false, true} {
			c.Forget()
			ctx, cancel := context.WithCancel(context.Background())
			c.On(Rule{Op: AnyChange, Nth: n, Code: eFail, After: after})
			_, err := selftest.Run(ctx, c, selftestName, 49152)
			cancel()
			if left := c.Networks(); len(left) != 1 || len(c.Endpoints()) > 0 {
				t.Errorf("call %d fails (carried out: %v): left are %v, %v; %v", n, after, left, c.Endpoints(), err)
			}
		}
	}
}

// Where one version is of no use, the other one tells what it can.
func TestSelftestTellsWhatItCan(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{Lenient: true})
	c.On(Rule{Op: Create, Kind: KindNetwork, Nth: 1, Code: eFail}) // v1's
	f, err := selftest.Run(context.Background(), c, selftestName, 49152)
	if err == nil || f.HNS.Major == 0 || f.Answers[selftest.AddressTaken].V1 != nil || f.Answers[selftest.AddressTaken].V2 == nil {
		t.Errorf("%v: %+v", err, f.Answers)
	}
	c.Forget()
	c.On(Rule{Op: Create, Kind: KindNetwork, Nth: 4, Code: eFail}) // v2's
	f, err = selftest.Run(context.Background(), c, selftestName, 49152)
	if err == nil || f.Answers[selftest.AddressTaken].V1 == nil || f.Answers[selftest.MissingNamespace].V2 == nil {
		t.Errorf("%v: %+v", err, f.Answers)
	}
}

// Whoever presses Ctrl-C while HNS hangs need not wait for it.
func TestSelftestEndsByAnInterrupt(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{Lenient: true})
	reached, until := make(chan struct{}), make(chan struct{})
	c.On(Rule{Op: Create, Kind: KindEndpoint, Nth: 3, Until: until, Reached: reached})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-reached; cancel() }()
	w := &waiter{client: c}
	_, err := selftest.Run(ctx, w, selftestName, 49152)
	if err == nil || len(c.Networks())+len(c.Endpoints()) > 0 {
		t.Errorf("%v; left are %v, %v", err, c.Networks(), c.Endpoints())
	}
	close(until)
	w.calls.Wait()
}

// waiter knows when the last call was answered.
type waiter struct {
	client
	calls sync.WaitGroup
}

func (w *waiter) V1(method, path, body string) (string, selftest.HRESULT) {
	w.calls.Add(1)
	defer w.calls.Done()
	return w.client.V1(method, path, body)
}

func TestSelftestWithoutHCN(t *testing.T) {
	t.Parallel()
	o := Options{Version: Version{7, 2}, Lenient: true}
	c := newClient(t, o)
	f, err := selftest.Run(context.Background(), c, selftestName, 49152)
	if err != nil || f.HNS.Major != 7 || f.Answers[selftest.NetworkTwice].V1 == nil || f.Answers[selftest.NetworkTwice].V2 != nil {
		t.Errorf("%v: %+v", err, f)
	}
}

// What a restart or a reboot leaves is found out by who looks twice.
func TestSelftestFindsOutWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, facts := range []selftest.Facts{guessed(), other()} {
		for event, want := range map[string]selftest.Kept{"restart": *facts.Restart, "reboot": *facts.Reboot} {
			c := newClient(t, Options{Facts: facts, Lenient: true})
			ctx := context.Background()
			left, err := selftest.Leave(ctx, c, selftestName)
			if err != nil || len(c.Networks()) != 2 {
				t.Fatal(err, c.Networks())
			}
			if event == "restart" {
				c.Restart()
			} else {
				c.Reboot()
			}
			got, err := selftest.Find(ctx, c, left)
			if err != nil || got != want {
				t.Errorf("%s: %+v, want %+v (%v)", event, got, want, err)
			}
			if err = selftest.Sweep(ctx, c, left); err != nil || len(c.Networks())+len(c.Endpoints()) > 0 {
				t.Errorf("left: %v %v %v", c.Networks(), c.Endpoints(), err)
			}
		}
	}
}

// A recording overrides guesses, one by one; what it does not have stays guessed.
func TestARecordingOverridesGuesses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "recording.json")
	const text = `{"windows":"10.0.26100","answers":{"addressTaken":{"v1":{"hresult":"0x00000000","error":"Adresse vergeben."}}},"endpointsGoWithNetwork":false}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFacts(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{Facts: f})
	c.v1("POST", "/networks/", networkV1Doc)
	endpoint := endpointV1Doc(c.Networks()[0].ID)
	c.v1("POST", "/endpoints/", endpoint)
	code, reply := c.call("HNSCall", "POST", "/endpoints/", edit(endpoint, `dee435e2-eth0`, `other`, `8080`, `8081`))
	if code != 0 || !strings.Contains(reply, "Adresse vergeben.") {
		t.Errorf("0x%08X %s", code, reply)
	}
	if code, _ = c.v1("GET", "/endpoints/"+c.Networks()[0].ID, ""); code != EndpointNotFound {
		t.Errorf("a guess: 0x%08X", code)
	}
	c.v1("DELETE", "/networks/"+c.Networks()[0].ID, "")
	if len(c.Endpoints()) != 1 {
		t.Error("the endpoint went with its network")
	}
}

func TestTheRecordingIsWhole(t *testing.T) {
	t.Parallel()
	_ = Facts() // panics
}
