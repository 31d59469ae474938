package cni_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The IPAM plugin is started by other network plugins, so its program has nothing that only ours needs. go.mod has it
// all, and an import somewhere below would bring it back.
func TestTheProgramsAreSmall(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"azure-vnet", "azure-vnet-ipam"} {
		text, err := os.ReadFile(program + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		const most = 40
		if n := bytes.Count(text, []byte("\n")); n >= most {
			t.Errorf("%s has %d lines: a library can be tested", program, n)
		}
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no Go here that could tell imports")
	}
	for _, system := range []string{"linux", "windows"} {
		list := exec.CommandContext(t.Context(), goTool, "list", "-deps", "./azure-vnet-ipam")
		list.Env = append(os.Environ(), "GOOS="+system)
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		const own = "github.com/Azure/azure-container-networking/"
		for _, path := range strings.Fields(string(out)) {
			if path == own+"netlink/wire" {
				continue // by which it lists the host's interfaces
			}
			for _, part := range []string{own + "network", own + "netlink", own + "nft", own + "resolved", own + "doctor/networks",
				own + "cni/netplugin", "google/nftables", "vishvananda/netlink", "godbus", "hcsshim", "net/http", "os/exec"} {
				if strings.Contains(path+"/", part+"/") {
					t.Errorf("azure-vnet-ipam for %s has %s", system, path)
				}
			}
		}
	}
}
