package cni

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/Azure/azure-container-networking/store"
)

// Most configurations are short and have few kinds of fields. encoding/json takes longer to find out by reflection what
// the structs look like than to read such a text; here the usual fields are read one by one. Of a text with anything
// else, encoding/json says what it means and what is wrong with it.

// unmarshal is json.Unmarshal into a value that is empty. usual reads the member of the object whose name, in lower
// case, is given; it is false for a name that encoding/json has to read.
func unmarshal[T any](raw []byte, into *T, usual func(v *T, r *store.Reader, name string) bool) error {
	var read T
	r := store.NewReader(string(raw))
	if readObject(r, func(name string) bool { return usual(&read, r, name) }); r.End() == nil {
		*into = read
		return nil
	}
	return json.Unmarshal(raw, into)
}

var errUnusual = errors.New("not for this reader")

// readObject reads an object with unmarshal's usual.
func readObject(r *store.Reader, usual func(name string) bool) {
	r.Object(func(name string) {
		if strings.ContainsFunc(name, notASCII) || !usual(strings.ToLower(name)) {
			r.Fail(errUnusual)
		}
	})
}

// notASCII: encoding/json takes letters such as U+017F for ours.
func notASCII(c rune) bool { return c >= utf8.RuneSelf }

// head is what is read of every configuration before anything else.
type head struct{ CNIVersion, LogFile, LogLevel string }

func (h *head) usual(r *store.Reader, name string) bool {
	switch name {
	case "cniversion":
		h.CNIVersion = r.String()
	case "logfile":
		h.LogFile = r.String()
	case "loglevel":
		h.LogLevel = r.String()
	default:
		r.Skip()
	}
	return true
}

func (c *Common) usual(r *store.Reader, name string) bool {
	switch name {
	case "cniversion":
		c.CNIVersion = r.String()
	case "name":
		c.Name = r.String()
	case "type":
		c.Type = r.String()
	case "master":
		c.Master = r.String()
	case "loglevel":
		c.LogLevel = r.String()
	case "logfile":
		c.LogFile = r.String()
	case "datadir":
		c.DataDir = r.String()
	case "ipam":
		readObject(r, func(name string) bool { return c.IPAM.usual(r, name) })
	default:
		return false
	}
	return true
}

func (i *IPAM) usual(r *store.Reader, name string) bool {
	switch name {
	case "type":
		i.Type = r.String()
	case "environment":
		i.Environment = r.String()
	case "queryurl":
		i.QueryURL = r.String()
	case "interfacesfile":
		i.InterfacesFile = r.String()
	case "subnet", "ipaddress", "queryinterval", "families", "addressspace", "statuswhenfull":
		return false
	default: // of another IPAM plugin
		r.Skip()
	}
	return true
}

func (n *NetConf) usual(r *store.Reader, name string) bool {
	switch name {
	case "mode":
		n.Mode = r.String()
	case "bridge":
		n.Bridge = r.String()
	case "prevresult":
		n.RawPrevResult = r.JSON()
	case "capabilities": // libcni's
		r.Skip()
	default:
		return n.Common.usual(r, name)
	}
	return true
}

// usual skips what is for the network plugin that calls azure-vnet-ipam.
func (n *IPAMConf) usual(r *store.Reader, name string) bool {
	switch name {
	case "args", "runtimeconfig", "cni.dev/valid-attachments":
		return false
	}
	if !n.Common.usual(r, name) {
		r.Skip()
	}
	return true
}
