package source

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Limits of one question to the host agent.
const (
	queryTimeout = 5 * time.Second
	maxAnswer    = 4 << 20 // bytes
)

// HostAgent is the source of addresses in Azure: the host agent's XML.
type HostAgent struct{ URL string }

// Stamp implements Source: only asking can tell.
func (HostAgent) Stamp() string { return "" }

// Subnets asks the host agent. All errors wrap ErrUnavailable and name the cause.
func (h HostAgent) Subnets(ctx context.Context) ([]Subnet, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	// No proxy from the environment and no redirects: the answer decides who gets which address, so it
	// comes from the host or not at all.
	answer, err := get(ctx, h.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: ask the host agent %s: %w", ErrUnavailable, h.URL, err)
	}
	defer func() { _ = answer.Close() }()
	// All of it is there before it is understood, which takes a busy node long, and is no waiting for the agent.
	body, err := io.ReadAll(io.LimitReader(answer, maxAnswer+1))
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%w: the answer of host agent %s is larger than %d bytes", ErrUnavailable, h.URL, maxAnswer)
	}
	var subnets []Subnet
	if err == nil {
		subnets, err = ParseXML(bytes.NewReader(body))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the answer of host agent %s: %w", ErrUnavailable, h.URL, err)
	}
	return subnets, nil
}

// ParseXML reads what the host agent answers, of any size.
func ParseXML(r io.Reader) ([]Subnet, error) {
	var l struct {
		XMLName xml.Name
		listing
	}
	d := xml.NewDecoder(r)
	d.CharsetReader = sameCharset
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("decode XML: %w", err)
	}
	if root := l.XMLName.Local; strings.EqualFold(root, "html") { // who signs people in answers with 200
		return nil, errors.New("it is a web page: a proxy stands between this VM and the host agent")
	}
	return l.subnets(), nil
}

// sameCharset reads what a document says to be in another encoding, and is ASCII: that is what .NET writes by default.
func sameCharset(charset string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "us-ascii", "ascii", "iso-8859-1", "utf-16":
		return r, nil // what is not ASCII is no UTF-8 either, and refused
	}
	return nil, fmt.Errorf("encoding %q", charset)
}
