//go:build linux && wine

package windows

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/google/go-cmp/cmp"
)

func TestContainerdsWayByHand(t *testing.T) {
	h := newHost(t, options{})
	conf := h.conf(map[string]any{"cniVersion": "1.0.0"})
	ns := h.hns.AddNamespace()
	r := h.wantResult(h.call("ADD", id(1), ns, conf))
	a := address(t, r)
	t.Log(a, r)
}

var _ = slices.Sorted[string]
var _ = maps.Keys[map[string]string]
var _ = cmp.Diff
var _ = os.ReadFile
var _ = filepath.Join
var _ = strings.Contains
var _ = json.Marshal
var _ hnssim.Rule
