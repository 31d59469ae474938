package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
)

// wrongJSON: each block of JSON is read by whoever is to read such a document. "json fragment" is a part, or another
// program's: it is for the eye.
func (r *repository) wrongJSON(d *document) (lies []string) {
	for _, f := range d.fences {
		var err error
		switch f.info {
		case "json":
			err = r.document([]byte(f.text))
		case "json fragment":
			continue
		default:
			if text := strings.TrimSpace(f.text); strings.HasPrefix(text, "{") {
				err = fmt.Errorf("it looks like JSON and is not marked so")
			}
		}
		if err != nil {
			lies = append(lies, fmt.Sprintf("line %d: JSON: %v", f.line, err))
		}
	}
	for _, t := range d.tables {
		if t.head[0] != "capability" || d.path != "docs/cni.md" {
			continue
		}
		for _, row := range t.rows {
			for i, name := range codeIn(row[0]) {
				if err := capability(name, codeIn(row[1])[i]); err != nil {
					lies = append(lies, fmt.Sprintf("line %d: capability %s: %v", t.line, name, err))
				}
			}
		}
	}
	return lies
}

// document reads one JSON document by what it is.
func (r *repository) document(text []byte) error {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return err
	}
	has := func(key string) bool { return top[key] != nil }
	switch {
	case has("plugins"):
		return list(text)
	case has("type"):
		return configuration(text, top)
	case has("code"):
		var e types.Error
		if err := strictly(text, &e); err != nil {
			return err
		}
		if !r.codes[int(e.Code)] {
			return fmt.Errorf("code %d: nothing answers with it", e.Code)
		}
		return nil
	case has("healthy"):
		return strictly(text, &struct {
			Healthy  bool
			Findings []finding.Finding
		}{})
	case has("cniVersion"):
		_, err := create.CreateFromBytes(text)
		return err
	}
	return fmt.Errorf("neither a configuration nor a result, an error or doctor's document: mark it as \"json fragment\"")
}

func list(text []byte) error {
	l, err := libcni.NetworkConfFromBytes(text)
	if err != nil {
		return err
	}
	for _, p := range l.Plugins {
		top := map[string]json.RawMessage{}
		if err := json.Unmarshal(p.Bytes, &top); err != nil {
			return err
		}
		for key, value := range map[string]string{"cniVersion": l.CNIVersion, "name": l.Name} {
			top[key], _ = json.Marshal(value) // a string
		}
		one, err := json.Marshal(top)
		if err != nil {
			return err
		}
		if err := configuration(one, top); err != nil {
			return err
		}
	}
	return nil
}

// configuration is that of one plugin. In ours a field that nobody reads is a mistake of the document.
func configuration(text []byte, top map[string]json.RawMessage) error {
	var kind, ipam struct{ Type string }
	_ = json.Unmarshal(text, &kind)        // whoever cannot be read below
	_ = json.Unmarshal(top["ipam"], &ipam) // may be absent
	if kind.Type == "azure-vnet" {
		n, err := cni.ParseNetConf(text)
		if err != nil {
			return err
		}
		if _, _, err := n.HNSPolicies(); err != nil {
			return err
		}
		err = strictly(text, &struct {
			cni.NetConf
			Capabilities map[string]bool
		}{})
		if err != nil {
			return err
		}
	}
	if ipam.Type == "azure-vnet-ipam" {
		if _, err := cni.ParseIPAMConf(text); err != nil {
			return err
		}
		return strictly(top["ipam"], &cni.IPAM{})
	}
	return nil
}

// capability reads the example of what a runtime adds.
func capability(name, example string) error {
	text := fmt.Appendf(nil, `{"name":"azure","type":"azure-vnet","ipam":{"type":"azure-vnet-ipam"},"runtimeConfig":{%q:%s}}`, name, example)
	n, err := cni.ParseNetConf(text)
	if err != nil {
		return err
	}
	if name == "portMappings" {
		if _, err := n.Ports(); err != nil {
			return err
		}
	}
	if _, err := cni.ParseIPAMConf(text); err != nil {
		return err
	}
	return strictly(text, &struct {
		cni.NetConf
		RuntimeConfig struct {
			cni.RuntimeConfig
			IPs []string `json:"ips"`
		} `json:"runtimeConfig"`
	}{})
}

func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
