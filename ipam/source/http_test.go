package source

import (
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
)

// Whatever a host agent answers ends: with a body that is no longer than was announced, or with an error.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.0 200 OK\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 404 \r\n\r\n"))
	u := &url.URL{Scheme: "http", Host: "agent", Path: "/"}
	f.Fuzz(func(t *testing.T, sent []byte) {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = io.CopyN(io.Discard, theirs, int64(len("GET / HTTP/1.0\r\nHost: agent\r\nUser-Agent: azure-vnet-ipam\r\n\r\n")))
			_, _ = theirs.Write(sent)
			_ = theirs.Close()
		}()
		a := &answer{conn: ours, ctx: t.Context(), stop: func() bool { return true }}
		defer func() { _ = a.Close() }()
		if err := a.begin(u); err != nil {
			return
		}
		announced := a.left
		body, err := io.ReadAll(a)
		if announced >= 0 && err == nil && int64(len(body)) != announced {
			t.Errorf("%d bytes of %d, and no error", len(body), announced)
		}
		if len(body) > len(sent) {
			t.Errorf("%d bytes of %d that were sent", len(body), len(sent))
		}
	})
}

// HTTP/1.0 has no transfer encodings: what uses one all the same would be taken for XML.
func TestAnAnswerInATransferEncodingIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<xml>\r\n0\r\n\r\n")
		_ = conn.Close()
	}()
	if _, err := (HostAgent{URL: "http://" + l.Addr().String()}).Subnets(t.Context()); err == nil ||
		!strings.Contains(err.Error(), `"chunked"`) {
		t.Errorf("error %v", err)
	}
}
