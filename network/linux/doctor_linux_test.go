package linux

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/netlink"
)

func TestVethIsMissedOnlyWhereThatIsKnown(t *testing.T) {
	t.Parallel()
	const some, veth = "kernel/net/bridge/bridge.ko:\n", "kernel/drivers/net/veth.ko\n"
	for name, c := range map[string]struct {
		links        []netlink.Link
		builtin, dep string
		lacks        bool
	}{
		"neither built in nor a module": {nil, some, some, true},
		"built in":                      {nil, veth, some, false},
		"a module":                      {nil, some, veth, false},
		"there are veths":               {[]netlink.Link{{Kind: "veth"}}, some, some, false},
		"no list":                       {nil, some, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range map[string]string{"modules.builtin": c.builtin, "modules.dep": c.dep} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := lacksVeth(c.links, dir); got != c.lacks {
				t.Errorf("lacks veth: %t", got)
			}
		})
	}
}
