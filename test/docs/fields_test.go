package docs

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/pkg/types"
)

// configurationFields are the fields that the plugins read, those of a section as "ipam.subnet".
func configurationFields() map[string]bool {
	fields := map[string]bool{}
	fieldsOf(reflect.TypeFor[cni.NetConf](), "", fields)
	fieldsOf(reflect.TypeFor[cni.IPAMConf](), "", fields)
	return fields
}

// fieldsOf goes into sections: structs of ours, or without a name. What the last level of a section means, its own
// table says.
func fieldsOf(t reflect.Type, prefix string, into map[string]bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous:
			fieldsOf(f.Type, prefix, into)
		default:
			into[prefix+name] = true
			own := f.Type.PkgPath() == reflect.TypeFor[cni.NetConf]().PkgPath() || f.Type.Name() == ""
			if f.Type.Kind() == reflect.Struct && own && strings.Count(prefix, ".") < 2 && f.Type != reflect.TypeFor[cni.RuntimeDNS]() {
				fieldsOf(f.Type, prefix+name+".", into)
			}
		}
	}
}

// protocolFields are those of the specification, which libcni reads for us.
func protocolFields() map[string]bool {
	fields := map[string]bool{}
	fieldsOf(reflect.TypeFor[types.PluginConf](), "", fields)
	return fields
}

// sections of the tables of fields: where they stand, and by the heading of the first column.
func section(d *document, head string) (prefix string, ok bool) {
	switch {
	case head == "capability" && d.path == "docs/cni.md":
		return "runtimeConfig.", true
	case head == "field" && d.path == "docs/ipam.md":
		return "ipam.", true
	}
	return "", head == "field"
}

// documentedFields are the names in the first column of the tables of fields.
func documentedFields(d *document) map[string]bool {
	named := map[string]bool{}
	for _, t := range d.tables {
		prefix, ok := section(d, t.head[0])
		if !ok {
			continue
		}
		for _, row := range t.rows {
			for _, name := range codeIn(row[0]) {
				named[prefix+name] = true
			}
		}
	}
	return named
}

// inSection is a field in running text that can be nothing else.
var inSection = regexp.MustCompile(`^(ipam|runtimeConfig|args)(\.\w+)+$`)

func (r *repository) unknownFields(d *document) (lies []string) {
	protocol := protocolFields()
	named := documentedFields(d)
	for _, s := range d.spans {
		if inSection.MatchString(s.text) && !r.files[s.text] {
			named[s.text] = true
		}
	}
	for name := range named {
		if !r.fields[name] && !protocol[name] {
			lies = append(lies, fmt.Sprintf("field %s: the plugins do not read it", name))
		}
	}
	return lies
}

// untoldFields: cni.md and ipam.md together tell them all.
func (r *repository) untoldFields(documents ...*document) (lies []string) {
	named := map[string]bool{}
	for _, d := range documents {
		for name := range documentedFields(d) {
			named[name] = true
		}
	}
	for name := range r.fields {
		if !named[name] && !namedInParts(name, r.fields, named) {
			lies = append(lies, fmt.Sprintf("field %s is not documented", name))
		}
	}
	return lies
}

// namedInParts: a section is told when all that is in it is.
func namedInParts(name string, fields, named map[string]bool) bool {
	parts := 0
	for f := range fields {
		if strings.HasPrefix(f, name+".") {
			if parts++; !named[f] && !namedInParts(f, fields, named) {
				return false
			}
		}
	}
	return parts > 0
}
