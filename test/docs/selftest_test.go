package docs

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/install/selftest"
	"github.com/Azure/azure-container-networking/test/hnssim"
)

// Each guess of windows.md names where selftest's document will have the answer, and what that document has is named.
func TestGuessesAreAnsweredBySelftest(t *testing.T) {
	t.Parallel()
	fields := map[string]bool{}
	jsonFields(reflect.TypeFor[selftest.Facts](), fields)
	facts := hnssim.Facts()
	for _, cases := range []map[selftest.Case]selftest.Answers{facts.Answers, facts.Private} {
		for c := range cases {
			fields[string(c)] = true
		}
	}
	named := map[string]bool{}
	for _, table := range open(t).documents["docs/windows.md"].tables {
		if table.head[0] != "guess" {
			continue
		}
		for _, row := range table.rows {
			for _, name := range codeIn(row[1]) {
				named[name] = true
				if !fields[name] && !strings.HasPrefix(name, "selftest after ") {
					t.Errorf("selftest prints no %s", name)
				}
			}
		}
	}
	// Parts of what is named, and what needs no question.
	parts := strings.Fields("windows host major minor hresult error errorCode v1 v2 free attached bootID description type up name sameMAC " +
		"networkV1 endpointV1 networkV2 endpointV2 attachedV2")
	for name := range fields {
		if !named[name] && !slices.Contains(parts, name) {
			t.Errorf("no guess names %s", name)
		}
	}
}

func jsonFields(t reflect.Type, into map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		jsonFields(t.Elem(), into)
	case reflect.Struct:
		for f := range t.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				into[name] = true
			}
			jsonFields(f.Type, into)
		}
	}
}
