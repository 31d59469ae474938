package cni_test

import (
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
)

// root is what an absolute path begins with.
const root = "C:"

// refusedHere are values that only Windows refuses.
var refusedHere = []refused{{"adapterName", "a:b", 7, "a:b"}}

func TestAdaptersHaveTheNamesThatWindowsGivesThem(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"Ethernet": true, "Ethernet 2": true, "vEthernet (Ethernet 2)": true, "Réseau local": true, "Ethernet #3": true,
		" ": false, " Ethernet": false, "Ethernet ": false, `a\b`: false, "a/b": false, "a:b": false, "a*": false, "a|b": false, "a\"b": false,
		"a\nb": false, "a\x00": false, strings.Repeat("x", 256): true, strings.Repeat("x", 257): false,
	} {
		for _, field := range []string{"master", "adapterName"} {
			_, err := cni.ParseNetConf(conf(t, map[string]any{field: name}))
			if (err == nil) != ok {
				t.Errorf("%s %q: %v", field, name, err)
			}
			if err != nil && !strings.Contains(err.Error(), field) {
				t.Errorf("%s %q: %v does not name the field", field, name, err)
			}
		}
	}
}
