package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
)

var agentNIC = ipamtest.Interface{MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0x11, 0x22, 0x33}, Primary: true,
	Subnets: []ipamtest.Subnet{{Prefix: prefix("10.240.0.0/16"), Primary: addr("10.240.0.4"), Secondary: []netip.Addr{addr("10.240.0.5")}}}}

func agentURL(s *httptest.Server) string { return s.URL + ipamtest.Path + "?" + ipamtest.Query }

// agent is a simulated host agent on the loopback device.
func agent(t *testing.T, f ipamtest.Fault) HostAgent {
	t.Helper()
	a := ipamtest.NewAgent(agentNIC)
	a.SetFault(f)
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return HostAgent{URL: agentURL(s)}
}

func TestHostAgentThatMisbehaves(t *testing.T) {
	t.Parallel()
	body := func(s string) ipamtest.Fault { return ipamtest.Fault{Body: &s} }
	for name, c := range map[string]struct {
		fault ipamtest.Fault
		text  string // of the error; "" means success
	}{
		"well":                        {ipamtest.Fault{}, ""},
		"with another content type":   {ipamtest.Fault{ContentType: "text/html"}, ""},
		"truncated":                   {ipamtest.Fault{Truncate: true}, "unexpected EOF"},
		"hung up":                     {ipamtest.Fault{Hangup: true}, "EOF"},
		"500":                         {ipamtest.Fault{Status: 500}, "500 Internal Server Error"},
		"404 with a good body":        {ipamtest.Fault{Status: 404}, "404 Not Found"},
		"203":                         {ipamtest.Fault{Status: 203}, "203"},
		"an empty body":               {body(""), "EOF"},
		"HTML":                        {body("<html><body>login<br></body></html>"), "decode XML"},
		"JSON":                        {body(`{"Interfaces":[]}`), "EOF"},
		"too deep":                    {body(strings.Repeat("<Interfaces>", 20_000)), "decode XML"},
		"too much":                    {ipamtest.Fault{HugeBytes: 100 << 20}, "larger than 4194304 bytes"},
		"too much that is no XML":     {body("<<" + strings.Repeat(" ", maxAnswer)), "larger than 4194304 bytes"},
		"an entity":                   {body(`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Interfaces>&b;</Interfaces>`), "decode XML"},
		"bad bytes":                   {body("<Interfaces>\xff\xfe\x00</Interfaces>"), "decode XML"},
		"something behind the answer": {body(ipamtest.Document([]ipamtest.Interface{agentNIC}) + "<more>"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := agent(t, c.fault)
			subnets, err := h.Subnets(t.Context())
			if c.text == "" {
				if err != nil || len(subnets) != 1 || len(subnets[0].Addresses) != 1 {
					t.Errorf("%+v, %v", subnets, err)
				}
				return
			}
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "host agent") {
				t.Errorf("%v: no %q in it", err, c.text)
			}
		})
	}
}

func TestRedirectOfTheHostAgentIsNotFollowed(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		_, _ = fmt.Fprint(w, ipamtest.Document([]ipamtest.Interface{agentNIC}))
	}))
	defer elsewhere.Close()
	_, err := agent(t, ipamtest.Fault{Redirect: elsewhere.URL}).Subnets(t.Context())
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "302") || visits.Load() != 0 {
		t.Errorf("%v, %d visits", err, visits.Load())
	}
}

// The agent sees that we hang up: what it could send is not read, let alone kept.
func TestAnswerIsReadUpToItsLimit(t *testing.T) {
	t.Parallel()
	const all = 100 << 20
	sent := make(chan int, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n, piece := 0, []byte(strings.Repeat(" ", 64<<10))
		for n < all {
			k, err := w.Write(piece)
			if n += k; err != nil {
				break
			}
		}
		sent <- n
	}))
	defer s.Close()
	if _, err := (HostAgent{URL: agentURL(s)}).Subnets(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	// What is beyond 4 MiB lies in the sockets' buffers.
	if n := <-sent; n > maxAnswer+24<<20 {
		t.Errorf("the agent got rid of %d MiB", n>>20)
	}
}

func TestSlowHostAgentIsGivenUpWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // the client has gone
	}))
	defer s.Close()
	if _, err := (HostAgent{URL: agentURL(s)}).Subnets(ctx); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHostAgentWithoutAnAddressIsAnError(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "::", "http://", "file:///etc/passwd", "http://127.0.0.1:1/"} {
		if _, err := (HostAgent{URL: url}).Subnets(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

const askedAgent = "ASKED_AGENT" // URL that TestHelperWithAProxy asks

// TestHelperWithAProxy is no test. The proxy of the environment is read once in a process, so a process of its own
// asks.
func TestHelperWithAProxy(t *testing.T) {
	url := os.Getenv(askedAgent)
	if url == "" {
		t.Skip("runs in a process of its own")
	}
	if subnets, err := (HostAgent{URL: url}).Subnets(t.Context()); err != nil || len(subnets) != 1 {
		t.Errorf("%v, %v", subnets, err)
	}
}

// A URL with 127.0.0.1 never goes to a proxy. One with 0.0.0.0 does, and without a proxy leads to the same agent.
func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	direct := strings.Replace(agent(t, ipamtest.Fault{}).URL, "127.0.0.1", "0.0.0.0", 1)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperWithAProxy$")
	cmd.Env = append(os.Environ(), askedAgent+"="+direct, "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "ALL_PROXY="+proxy.URL)
	if out, err := cmd.CombinedOutput(); err != nil || visits.Load() != 0 {
		t.Errorf("%d visits, %v: %s", visits.Load(), err, out)
	}
}

func TestFileThatIsUnusable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "interfaces.json")
	for name, c := range map[string]struct{ content, text string }{
		"not JSON":       {"<Interfaces/>", "decode JSON"},
		"another type":   {`{"Interfaces":{}}`, "decode JSON"},
		"half":           {`{"Interfaces":[`, "unexpected end"},
		"empty":          {"", "unexpected end"},
		"larger than ok": {strings.Repeat(" ", maxAnswer+1), "larger than"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (File{path}).Subnets(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), c.text) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, missing := range []string{filepath.Join(dir, "missing"), dir} {
		if _, err := (File{missing}).Subnets(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v", missing, err)
		}
	}
	if (File{path}).Stamp() == (File{filepath.Join(dir, "missing")}).Stamp() {
		t.Error("a missing file has the stamp of one that is there")
	}
}
