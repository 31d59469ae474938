// Package style checks what no linter that we use can: see .golangci.yml, shadow.
package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A deferred rollback that tests a local err is blind to "return err" out of an inner scope, where err is another
// variable: nothing is rolled back, and what was taken leaks. A named result is set by every return.
func TestDeferredRollbackTestsTheNamedResult(t *testing.T) {
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "output"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		for _, finding := range blindRollbacks(t, path, nil) {
			t.Error(finding)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlindRollbacksAreFound(t *testing.T) {
	const file = `package p
func local() error {
	var err error
	defer func() { if err != nil { undo() } }()
	if err := step(); err != nil { return err }
	return nil
}
func inAClosure() (err error) {
	return with(func() error {
		err := step()
		defer func() { if nil == err { keep() } }()
		return err
	})
}
func named() (err error) {
	defer func() { if err != nil { undo() } }()
	if err := step(); err != nil { return err }
	return nil
}
func ownVariable() error {
	defer func() { if err := undo(); err != nil { say(err) } }()
	return nil
}
func noError() error {
	var file *int
	defer func() { if file != nil { undo() } }()
	return nil
}
`
	want := []string{"p.go:4:20: " + blind, "p.go:11:28: " + blind}
	if diff := cmp.Diff(want, blindRollbacks(t, "p.go", file)); diff != "" {
		t.Error(diff)
	}
}

const blind = "a deferred function tests err, which is not the function's named result"

// blindRollbacks parses one file and returns the places where a deferred function compares with nil an error that is
// neither its own variable nor a named result of the function that defers it.
func blindRollbacks(t *testing.T, path string, source any) []string {
	t.Helper()
	fset := token.NewFileSet()
	if text, ok := source.(string); ok {
		source = []byte(text)
	}
	file, err := parser.ParseFile(fset, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	inspect := func(signature *ast.FuncType, body *ast.BlockStmt) {
		results := map[string]bool{}
		if signature.Results != nil {
			declare(results, signature.Results)
		}
		ast.Inspect(body, func(n ast.Node) bool {
			if _, nested := n.(*ast.FuncLit); nested {
				return false // has a turn of its own
			}
			d, ok := n.(*ast.DeferStmt)
			if !ok {
				return true
			}
			if deferred, ok := d.Call.Fun.(*ast.FuncLit); ok {
				for _, e := range testedErrors(deferred) {
					if !results[e.Name] {
						found = append(found, fset.Position(e.Pos()).String()+": "+blind)
					}
				}
			}
			return false
		})
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch f := n.(type) {
		case *ast.FuncDecl:
			if f.Body != nil {
				inspect(f.Type, f.Body)
			}
		case *ast.FuncLit:
			inspect(f.Type, f.Body)
		}
		return true
	})
	return found
}

// testedErrors are the variables named err, or …Err, that f compares with nil and does not declare itself.
func testedErrors(f *ast.FuncLit) []*ast.Ident {
	own := map[string]bool{}
	declare(own, f.Type.Params)
	var tested []*ast.Ident
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				declare(own, n)
			}
		case *ast.ValueSpec:
			declare(own, n)
		case *ast.BinaryExpr:
			if n.Op != token.EQL && n.Op != token.NEQ {
				return true
			}
			x, xok := n.X.(*ast.Ident)
			y, yok := n.Y.(*ast.Ident)
			switch {
			case !xok || !yok:
			case y.Name == "nil" && isError(x):
				tested = append(tested, x)
			case x.Name == "nil" && isError(y):
				tested = append(tested, y)
			}
		}
		return true
	})
	var foreign []*ast.Ident
	for _, e := range tested {
		if !own[e.Name] {
			foreign = append(foreign, e)
		}
	}
	return foreign
}

func isError(i *ast.Ident) bool { return i.Name == "err" || strings.HasSuffix(i.Name, "Err") }

// declare adds the names that a list of fields, a := or a var declares.
func declare(names map[string]bool, by ast.Node) {
	switch by := by.(type) {
	case *ast.FieldList:
		for _, field := range by.List {
			for _, name := range field.Names {
				names[name.Name] = true
			}
		}
	case *ast.AssignStmt:
		for _, left := range by.Lhs {
			if name, ok := left.(*ast.Ident); ok {
				names[name.Name] = true
			}
		}
	case *ast.ValueSpec:
		for _, name := range by.Names {
			names[name.Name] = true
		}
	}
}
