package cni

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// validateMaster checks "master" and "adapterName".
func (n *NetConf) validateMaster() error {
	for _, f := range []struct{ key, value string }{{"master", n.Master}, {"adapterName", n.AdapterName}} {
		if f.value != "" && !isAdapterName(f.value) {
			return Invalid(f.key, f.value, "not the name of an adapter, such as Ethernet 2")
		}
	}
	return nil
}

// isAdapterName says whether a network connection of Windows may have the name: up to 256 characters
// (NDIS_IF_MAX_STRING_SIZE, ifdef.h) in any script, with spaces, but without what ncpa.cpl refuses.
func isAdapterName(name string) bool {
	const maxLength = 256
	return utf8.RuneCountInString(name) <= maxLength && strings.TrimSpace(name) == name &&
		!strings.ContainsAny(name, `\/:*?"<>|`) && !strings.ContainsFunc(name, unicode.IsControl)
}

// programEnds are what a plugin's program may have behind its name.
var programEnds = []string{".exe", ""}
