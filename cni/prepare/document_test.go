//go:build linux

package prepare

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// docs/host.md shows each file of networkd, NetworkManager and cloud-init as it is written.
func TestTheDocumentShowsTheFiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/host.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, m := range regexp.MustCompile("(?ms)^```(?:ini|yaml)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		shown = append(shown, m[1])
	}
	files := map[string]string{"etc/NetworkManager/": ""}
	for name, content := range ubuntu {
		files[name] = content
	}
	compared := 0
	for _, f := range (Node{Root: tree(t, files), Bridged: true, NICs: nics}).plan() {
		if f.path == sysctls || f.path == modules { // a line in a table
			continue
		}
		compared++
		if !slices.Contains(shown, f.body) {
			t.Errorf("docs/host.md does not show %s:\n%s", f.path, f.body)
		}
	}
	if compared != 5 {
		t.Errorf("%d files were compared", compared)
	}
}
