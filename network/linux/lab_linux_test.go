package linux_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/network"
)

var bridgeMode = network.Config{Mode: network.ModeBridge, Settings: network.Settings{AntiSpoof: true}}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
