// Package consoletest is what the tests of commands for people share.
package consoletest

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden screens anew: read them before they are committed")

// Screen compares a text with testdata/NAME.golden of the package under test, which a person has read.
func Screen(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s is\n%s", name, text)
	}
}

// NotThere is how this system says that a file is not there.
func NotThere(t *testing.T) string {
	t.Helper()
	var path *fs.PathError
	if _, err := os.Stat(filepath.Join(t.TempDir(), "none")); !errors.As(err, &path) {
		t.Fatal(err)
	}
	return path.Err.Error()
}

// Alternatives are the options that one in a usage text stands for: "-o json|wide" is two.
func Alternatives(option string) (all []string) {
	name, values, _ := strings.Cut(option, " ")
	for value := range strings.SplitSeq(values, "|") {
		all = append(all, strings.TrimSpace(name+" "+value))
	}
	return all
}
