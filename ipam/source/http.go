package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// get asks a server by HTTP/1.0, which is all that the host agent needs: one question, one answer, the end of the
// connection. The standard library's client would make the plugins two megabytes larger and slower to start, for what
// must not be used here: proxies, redirects, TLS. It returns the answer's body; the context bounds reading it.
func get(ctx context.Context, from string) (io.ReadCloser, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" || u.Hostname() == "" {
		return nil, fmt.Errorf("%s is not http://host/path", from)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	a := &answer{conn: conn, ctx: ctx, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	if err := a.begin(u); err != nil {
		_ = a.Close()
		return nil, a.cause(err)
	}
	return a, nil
}

// answer is a body that is being read.
type answer struct {
	conn net.Conn
	ctx  context.Context //nolint:containedctx // it bounds the reading, which has no parameter for it
	stop func() bool
	body io.Reader
	left int64 // what of the announced length is still to come; negative: up to the end of the connection
}

// maxHead bounds the lines before the body, in bytes.
const maxHead = 64 << 10

// begin sends the question and reads what stands before the body.
func (a *answer) begin(u *url.URL) error {
	if _, err := fmt.Fprintf(a.conn, "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: azure-vnet-ipam\r\n\r\n",
		u.RequestURI(), u.Host); err != nil {
		return err
	}
	head := &io.LimitedReader{R: a.conn, N: maxHead}
	buffered := bufio.NewReader(head)
	lines := textproto.NewReader(buffered)
	line, err := lines.ReadLine()
	if err != nil {
		return unexpected(err)
	}
	version, status, _ := strings.Cut(line, " ")
	if !strings.HasPrefix(version, "HTTP/1.") {
		return fmt.Errorf("it does not speak HTTP: %.40q", line)
	}
	if code, _, _ := strings.Cut(status, " "); code != "200" {
		return fmt.Errorf("it answers %.80q", status)
	}
	fields, err := lines.ReadMIMEHeader()
	if err != nil {
		return unexpected(err)
	}
	if e := fields.Get("Transfer-Encoding"); e != "" && e != "identity" {
		return fmt.Errorf("it answers with transfer encoding %.40q to HTTP/1.0, which has none", e)
	}
	a.left = -1
	if length := fields.Get("Content-Length"); length != "" {
		if a.left, err = strconv.ParseInt(length, 10, 64); err != nil || a.left < 0 {
			return fmt.Errorf("it announces a length of %.40q", length)
		}
	}
	a.body = io.MultiReader(io.LimitReader(buffered, int64(buffered.Buffered())), a.conn)
	return nil
}

// Read implements io.Reader. A body that is shorter than was announced ends with io.ErrUnexpectedEOF.
func (a *answer) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	if a.left > 0 {
		p = p[:min(int64(len(p)), a.left)]
	}
	n, err := a.body.Read(p)
	if a.left > 0 {
		a.left -= int64(n)
		if errors.Is(err, io.EOF) && a.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, a.cause(err)
}

// Close implements io.Closer.
func (a *answer) Close() error {
	a.stop()
	return a.conn.Close()
}

// cause is why the connection was closed, if we did it.
func (a *answer) cause(err error) error {
	if err != nil && !errors.Is(err, io.EOF) && a.ctx.Err() != nil {
		return a.ctx.Err()
	}
	return err
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
