package ipamplugin

import (
	"fmt"
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
		state := fmt.Sprintf(`{"schema":2,"bootID":%q,"data":{"networks":{"azure":{}}},"rows":"crc32=00000000 azure/c/eth0/azv1/7/ready/{'addresses':['10.240.0.5/16']}"}`, c.boot)
		if err := os.WriteFile(filepath.Join(dir, "azure-vnet.json"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := attachments(dir); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
