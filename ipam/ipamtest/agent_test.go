package ipamtest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
)

var twoNICs = []ipamtest.Interface{
	{
		MAC:     net.HardwareAddr{0x00, 0x0d, 0x3a, 0x11, 0x22, 0x33},
		Primary: true,
		Subnets: []ipamtest.Subnet{{
			Prefix:    netip.MustParsePrefix("10.240.0.0/16"),
			Primary:   netip.MustParseAddr("10.240.0.4"),
			Secondary: []netip.Addr{netip.MustParseAddr("10.240.0.5"), netip.MustParseAddr("10.240.0.6")},
		}},
	},
	{Subnets: []ipamtest.Subnet{{Prefix: netip.MustParsePrefix("fd00::/64"), Secondary: []netip.Addr{netip.MustParseAddr("fd00::5")}}}},
}

const twoNICsDocument = `<Interfaces>` +
	`<Interface MacAddress="000D3A112233" IsPrimary="true"><IPSubnet Prefix="10.240.0.0/16">` +
	`<IPAddress Address="10.240.0.4" IsPrimary="true"></IPAddress>` +
	`<IPAddress Address="10.240.0.5" IsPrimary="false"></IPAddress>` +
	`<IPAddress Address="10.240.0.6" IsPrimary="false"></IPAddress></IPSubnet></Interface>` +
	`<Interface MacAddress="*" IsPrimary="false"><IPSubnet Prefix="fd00::/64">` +
	`<IPAddress Address="fd00::5" IsPrimary="false"></IPAddress></IPSubnet></Interface>` +
	`</Interfaces>`

const goodURL = ipamtest.Path + "?" + ipamtest.Query

func serve(t *testing.T, a *ipamtest.Agent) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return s
}

// fetch returns the answer and the error of reading its body.
func fetch(t *testing.T, s *httptest.Server, method, url string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestAgentListsItsInterfaces(t *testing.T) {
	t.Parallel()
	a := ipamtest.NewAgent(twoNICs...)
	s := serve(t, a)
	for _, url := range []string{goodURL, ipamtest.Path + "?type=getinterfaceinfov1&comp=nmagent"} {
		resp, body, err := fetch(t, s, http.MethodGet, url)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("get %s: %v, %v", url, resp, err)
		}
		if body != twoNICsDocument {
			t.Errorf("got  %s\nwant %s", body, twoNICsDocument)
		}
	}
	a.SetInterfaces()
	if _, body, err := fetch(t, s, http.MethodGet, goodURL); err != nil || body != "<Interfaces></Interfaces>" {
		t.Errorf("after SetInterfaces(): %q, %v", body, err)
	}
	if a.Queries() != 3 || a.BadRequests() != 0 {
		t.Errorf("queries %d, bad %d; want 3, 0", a.Queries(), a.BadRequests())
	}
}

func TestAgentRefusesWhatTheRealOneWould(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, url string
		status      int
	}{
		{http.MethodGet, "/", 404},
		{http.MethodGet, ipamtest.Path, 404},
		{http.MethodGet, ipamtest.Path + "/?" + ipamtest.Query, 404},
		{http.MethodGet, ipamtest.Path + "?comp=nmagent", 404},
		{http.MethodGet, goodURL + "&more=1", 404},
		{http.MethodGet, goodURL + "&type=getinterfaceinfov1", 404},
		{http.MethodGet, ipamtest.Path + "?comp=nmagent&type=other", 404},
		{http.MethodGet, goodURL + "%zz", 404},
		{http.MethodPost, goodURL, 405},
		{http.MethodHead, goodURL, 405},
	}
	a := ipamtest.NewAgent(twoNICs...)
	s := serve(t, a)
	for _, test := range tests {
		resp, _, err := fetch(t, s, test.method, test.url)
		if err != nil || resp.StatusCode != test.status {
			t.Errorf("%s %s: %v, %v; want status %d", test.method, test.url, resp, err, test.status)
		}
	}
	if got := a.BadRequests(); got != uint64(len(tests)) || a.Queries() != 0 {
		t.Errorf("queries %d, bad %d; want 0, %d", a.Queries(), got, len(tests))
	}
}

func TestAgentFaultsOfTheAnswer(t *testing.T) {
	t.Parallel()
	garbage, empty := "<Interfaces><garbage", ""
	const huge = 3<<20 + 17
	tests := []struct {
		name  string
		fault ipamtest.Fault
		ok    func(resp *http.Response, body string, err error) bool
	}{
		{"status", ipamtest.Fault{Status: 503}, func(r *http.Response, body string, err error) bool {
			return err == nil && r.StatusCode == 503 && body == twoNICsDocument
		}},
		{"content type", ipamtest.Fault{ContentType: "text/html"}, func(r *http.Response, _ string, err error) bool {
			return err == nil && r.Header.Get("Content-Type") == "text/html"
		}},
		{"raw body", ipamtest.Fault{Body: &garbage}, func(_ *http.Response, body string, err error) bool {
			return err == nil && body == garbage
		}},
		{"empty body", ipamtest.Fault{Body: &empty}, func(_ *http.Response, body string, err error) bool {
			return err == nil && body == ""
		}},
		{"huge body", ipamtest.Fault{HugeBytes: huge}, func(r *http.Response, body string, err error) bool {
			return err == nil && r.ContentLength == -1 && len(body) == huge+len("<Interfaces><!----></Interfaces>")
		}},
		{"truncated body", ipamtest.Fault{Truncate: true}, func(r *http.Response, body string, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && r.ContentLength == int64(len(twoNICsDocument)) &&
				body == twoNICsDocument[:len(twoNICsDocument)/2]
		}},
		{"redirect", ipamtest.Fault{Redirect: "http://192.0.2.1/"}, func(r *http.Response, _ string, err error) bool {
			return err == nil && r.StatusCode == 302 && r.Header.Get("Location") == "http://192.0.2.1/"
		}},
		{"hang-up", ipamtest.Fault{Hangup: true}, func(r *http.Response, _ string, err error) bool {
			return r == nil && err != nil
		}},
		{"none", ipamtest.Fault{}, func(_ *http.Response, body string, err error) bool {
			return err == nil && body == twoNICsDocument
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := ipamtest.NewAgent(twoNICs...)
			s := serve(t, a)
			a.SetFault(test.fault)
			if resp, body, err := fetch(t, s, http.MethodGet, goodURL); !test.ok(resp, body, err) {
				t.Errorf("got %+v, %d bytes %.80q, %v", resp, len(body), body, err)
			}
			// A hung-up request may be repeated by the client's transport.
			if a.Queries() == 0 {
				t.Error("the query was not counted")
			}
			a.SetFault(ipamtest.Fault{})
			if _, body, err := fetch(t, s, http.MethodGet, goodURL); err != nil || body != twoNICsDocument {
				t.Errorf("after the fault: %q, %v", body, err)
			}
		})
	}
}

// TestAgentDelayEndsWithTheRequest would run into the test's time limit if
// the delay did not end with the request.
func TestAgentDelayEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	a := ipamtest.NewAgent(twoNICs...)
	a.SetFault(ipamtest.Fault{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		defer func() { ended <- recover().(error) }()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, goodURL, nil)
		a.ServeHTTP(httptest.NewRecorder(), r)
	}()
	cancel()
	if got := <-ended; !errors.Is(got, http.ErrAbortHandler) {
		t.Errorf("handler ended with %v, want http.ErrAbortHandler", got)
	}
}

func TestAgentAnswersAfterTheDelay(t *testing.T) {
	t.Parallel()
	a := ipamtest.NewAgent(twoNICs...)
	s := serve(t, a)
	const delay = 20 * time.Millisecond
	a.SetFault(ipamtest.Fault{Delay: delay})
	start := time.Now()
	if _, body, err := fetch(t, s, http.MethodGet, goodURL); err != nil || body != twoNICsDocument {
		t.Errorf("got %q, %v", body, err)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("answered after %v, before the delay of %v", took, delay)
	}
}

func TestAgentIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	a := ipamtest.NewAgent(twoNICs...)
	s := serve(t, a)
	const workers, rounds = 8, 20
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range rounds {
				a.SetInterfaces(twoNICs[:i%2+1]...)
				a.SetFault(ipamtest.Fault{ContentType: "text/plain"})
				_, body, err := fetch(t, s, http.MethodGet, goodURL)
				if err != nil || !strings.HasSuffix(body, "</Interfaces>") {
					t.Errorf("got %q, %v", body, err)
				}
			}
		})
	}
	wg.Wait()
	if got := a.Queries(); got != workers*rounds {
		t.Errorf("counted %d queries, want %d", got, workers*rounds)
	}
}
