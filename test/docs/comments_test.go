package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Documents of other projects, whose comments name the project beside.
var others = []string{"CONVENTIONS.md", "image-layout.md"}

// A comment that refers to a document refers to one that its reader has.
func TestCommentsNameDocumentsThatAreThere(t *testing.T) {
	t.Parallel()
	const root = "../.."
	named := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "output"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		documents := documentsIn(file.Comments)
		named += len(documents)
		for _, name := range documents {
			if !slices.Contains(others, filepath.Base(name)) && !thereIs(root, filepath.Dir(path), name) {
				t.Errorf("%s: a comment refers to %s, which is not in the repository", path, name)
			}
		}
		return nil
	})
	if err != nil || named < 10 {
		t.Errorf("%d documents are named: %v", named, err)
	}
}

func thereIs(root, beside, name string) bool {
	return !strings.Contains(name, "..") && slices.ContainsFunc([]string{root, filepath.Join(root, "docs"), beside}, func(folder string) bool {
		_, err := os.Stat(filepath.Join(folder, name))
		return err == nil
	})
}

var documentName = regexp.MustCompile(`[\w./-]*\w\.md\b`)

func documentsIn(groups []*ast.CommentGroup) (names []string) {
	for _, g := range groups {
		names = append(names, documentName.FindAllString(g.Text(), -1)...)
	}
	return names
}
