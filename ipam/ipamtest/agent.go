package ipamtest

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Path and Query are the only ones that the agent answers.
const (
	Path  = "/machine/plugins"
	Query = "comp=nmagent&type=getinterfaceinfov1"
)

// Fault is a way to misbehave. The zero value behaves well. Fields combine as
// far as that makes sense; the order in which they are honoured is Delay,
// Hangup, Redirect, then status, headers and body.
type Fault struct {
	// Delay passes before anything is answered. It ends early, without an
	// answer, when the client gives up.
	Delay time.Duration
	// Hangup closes the connection without an answer.
	Hangup bool
	// Redirect answers 302 with this location.
	Redirect string
	// Status replaces 200.
	Status int
	// ContentType replaces "text/xml; charset=utf-8".
	ContentType string
	// Body replaces the document. A pointer, so that it can be empty.
	Body *string
	// HugeBytes replaces the document by a well-formed prefix followed by
	// this many bytes of padding, written in pieces and never held in memory.
	HugeBytes int64
	// Truncate announces the whole length, sends half of the body and
	// closes the connection.
	Truncate bool
}

// Agent simulates one virtual machine's host agent. All methods may be called
// at any time from any goroutine. The zero value lists no interface.
type Agent struct {
	document atomic.Pointer[string]
	fault    atomic.Pointer[Fault]
	queries  atomic.Uint64
	bad      atomic.Uint64
}

// NewAgent returns an agent that lists the interfaces.
func NewAgent(interfaces ...Interface) *Agent {
	a := &Agent{}
	a.SetInterfaces(interfaces...)
	return a
}

// SetInterfaces replaces what the agent lists from the next query on.
func (a *Agent) SetInterfaces(interfaces ...Interface) {
	doc := Document(interfaces)
	a.document.Store(&doc)
}

// SetFault replaces the agent's misbehaviour from the next query on;
// Fault{} ends it. Queries that are being answered are not affected.
func (a *Agent) SetFault(f Fault) { a.fault.Store(&f) }

// Queries returns the number of well-formed queries so far, counted when they
// arrive, whatever fault they met.
func (a *Agent) Queries() uint64 { return a.queries.Load() }

// BadRequests returns the number of requests so far that the real agent would
// not understand: another method, path or query.
func (a *Agent) BadRequests() uint64 { return a.bad.Load() }

// ServeHTTP implements [http.Handler].
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status := check(r); status != http.StatusOK {
		a.bad.Add(1)
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodGet)
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	a.queries.Add(1)
	var f Fault
	if p := a.fault.Load(); p != nil {
		f = *p
	}
	if !wait(r, f.Delay) || f.Hangup {
		hangUp()
	}
	if f.Redirect != "" {
		w.Header().Set("Location", f.Redirect)
		w.WriteHeader(http.StatusFound)
		return
	}
	f.answer(w, a.text())
}

// check tells how the real agent would take the request.
func check(r *http.Request) int {
	want, err := url.ParseQuery(Query)
	if err != nil {
		panic("ipamtest: " + err.Error()) // a constant
	}
	got, err := url.ParseQuery(r.URL.RawQuery)
	switch {
	case r.URL.Path != Path, err != nil, len(got) != len(want):
		return http.StatusNotFound
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed
	}
	for key := range want {
		if len(got[key]) != 1 || got.Get(key) != want.Get(key) {
			return http.StatusNotFound
		}
	}
	return http.StatusOK
}

// wait reports whether the client was still there at the end.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// hangUp ends the handler and makes the server close the connection as it is.
func hangUp() { panic(http.ErrAbortHandler) }

func (a *Agent) text() string {
	if p := a.document.Load(); p != nil {
		return *p
	}
	return Document(nil)
}

func (f Fault) answer(w http.ResponseWriter, body string) {
	if f.Body != nil {
		body = *f.Body
	}
	contentType := f.ContentType
	if contentType == "" {
		contentType = "text/xml; charset=utf-8"
	}
	status := f.Status
	if status == 0 {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", contentType)
	if f.HugeBytes > 0 {
		// No length: the client cannot refuse in advance.
		w.WriteHeader(status)
		f.writeHuge(w)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if f.Truncate {
		_, _ = io.WriteString(w, body[:len(body)/2])
		// Without the flush the server would drop the half with the rest.
		_ = http.NewResponseController(w).Flush()
		hangUp()
	}
	_, _ = io.WriteString(w, body)
}

// writeHuge streams an XML comment, which a parser swallows happily, so that
// only a limit on the client's side ends the reading early.
func (f Fault) writeHuge(w io.Writer) {
	if _, err := io.WriteString(w, "<Interfaces><!--"); err != nil {
		return
	}
	piece := make([]byte, 64<<10)
	for i := range piece {
		piece[i] = ' '
	}
	for left := f.HugeBytes; left > 0; {
		n := min(left, int64(len(piece)))
		if _, err := w.Write(piece[:n]); err != nil {
			return // the client has had enough
		}
		left -= n
	}
	_, _ = io.WriteString(w, "--></Interfaces>")
}
