package style

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A package that nobody can keep in his head is two: of each, no operating system has more than 2,200 lines of code
// (comments and blank lines do not count) or 25 files.
func TestPackagesAreSmall(t *testing.T) {
	const mostLines, mostFiles = 2200, 25
	type size struct{ lines, files map[string]int }
	of := map[string]size{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel("../..", path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || name == "output" || name == "test"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		folder := filepath.Dir(name)
		if of[folder].lines == nil {
			of[folder] = size{map[string]int{}, map[string]int{}}
		}
		code, err := linesOfCode(path)
		for _, system := range []string{"linux", "windows"} {
			if other := map[string]string{"linux": "windows", "windows": "linux"}[system]; !strings.HasSuffix(path, "_"+other+".go") {
				of[folder].lines[system] += code
				of[folder].files[system]++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(of) < 20 {
		t.Fatalf("%d packages were found", len(of))
	}
	for folder, s := range of {
		for system, lines := range s.lines {
			if files := s.files[system]; lines > mostLines || files > mostFiles {
				t.Errorf("%s has %d lines of code in %d files on %s", folder, lines, files, system)
			}
		}
	}
}

func linesOfCode(path string) (code int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if text := strings.TrimSpace(lines.Text()); text != "" && !strings.HasPrefix(text, "//") {
			code++
		}
	}
	return code, lines.Err()
}
