package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What the classic plugin makes of our files: both of its programs read a map of members, and theirs as an object.
func TestTheClassicPluginCannotReadOurFile(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mustUpdate(t, h.Store, set(7))
	for _, file := range []string{h.path, h.path + ".bak"} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(read(t, file)), &members); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"Network", "IPAM"} {
			if err := json.Unmarshal(members[key], &struct{ ExternalInterfaces, AddressSpaces map[string]any }{}); members[key] == nil ||
				err == nil {
				t.Errorf("%s: the classic plugin reads %s %s", file, key, members[key])
			}
		}
	}
	if got := mustView(t, h.Store); got.N != 7 {
		t.Errorf("state is %+v", got)
	}
}

// imported is a store that imports {"Classic": N}, and merges by adding.
func imported(o *Options[state]) {
	o.Import = func(raw []byte, v *state) error {
		var doc struct{ Classic *int }
		if err := json.Unmarshal(raw, &doc); err != nil || doc.Classic == nil {
			return fmt.Errorf("no classic state: %w", err)
		}
		v.N = *doc.Classic
		return nil
	}
	o.Merge = func(s, late *state) { s.N += late.N }
}

func TestAClassicFileOverOursIsMergedWithTheMirror(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		boot string
		want int
	}{
		"of this boot":         {"boot-1", 12},
		"of an earlier boot":   {"boot-0", 2},
		"of an unknown boot":   {"", 2},
		"and there is no such": {"none", 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, imported)
			if tt.boot != "none" {
				mustUpdate(t, h.with(func(o *Options[state]) { o.Boot = tt.boot }), set(10))
			}
			write(t, h.path, `{"Classic":2}`)
			if got := mustView(t, h.Store); got.N != tt.want {
				t.Errorf("view: N = %d, want %d", got.N, tt.want)
			}
			mustUpdate(t, h.Store, increment)
			if got := mustView(t, h.Store); got.N != tt.want+1 {
				t.Errorf("N = %d, want %d", got.N, tt.want+1)
			}
			if got := read(t, h.path+".classic-20261121T234500Z"); got != `{"Classic":2}` {
				t.Errorf("kept aside: %s", got)
			}
			if said := strings.Contains(h.log.String(), "level=ERROR"); said != (tt.want == 12) {
				t.Errorf("logged %s", h.log)
			}
		})
	}
}
