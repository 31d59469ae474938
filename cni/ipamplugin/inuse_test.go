package ipamplugin

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
)

// Where the folder outlives a reboot, azure-vnet's state of before is still there when the first address is asked for.
func TestAttachmentsOfAnEarlierBootHoldNoAddress(t *testing.T) {
	boot, err := platform.BootID()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		boot string
		want int
	}{"this boot": {boot, 1}, "an earlier boot": {"earlier", 0}, "a boot that the file does not name": {"", 1}} {
		dir := t.TempDir()
		state := fmt.Sprintf(`{"schema":3,"bootID":%q,"data":{"networks":{"azure":{}}},"records":[{"network":"azure","containerID":"c","ifName":"eth0","addresses":["10.240.0.5/16"]}]}`, c.boot)
		if err := os.WriteFile(filepath.Join(dir, "azure-vnet.json"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := attachments(dir); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A pod that only a file names which was kept aside, and that no namespace has, is dead: its address is not in use.
func TestWhoIsOnlyInAFileThatWasKeptAsideIsDead(t *testing.T) {
	boot, err := platform.BootID()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state := func(records string) []byte {
		return fmt.Appendf(nil, `{"schema":3,"bootID":%q,"data":{"networks":{"azure":{}}},"records":[%s]}`, boot, records)
	}
	for name, text := range map[string][]byte{
		"azure-vnet.json":                      state(""),
		"azure-vnet.json.corrupt-20260101T000": state(`{"network":"azure","containerID":"c","ifName":"eth0","addresses":["192.0.2.77/16"]}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := attachments(dir); len(got) != 1 {
		t.Errorf("the file names %v", got)
	}
	found, err := InUse(dir)
	if err != nil {
		t.Fatal(err)
	}
	if owner, used := found[netip.MustParseAddr("192.0.2.77")]; used {
		t.Errorf("it is in use by %v", owner)
	}
}
