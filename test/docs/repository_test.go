package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// repository is what there is to be named.
type repository struct {
	documents map[string]*document
	man       map[string]string   // text by path
	files     map[string]bool     // and folders
	tests     map[string][]string // folders by the name of the test, fuzz target or benchmark
	usage     map[string]usage    // by program
	targets   map[string]bool     // of make
	makefile  string              // and what it includes
	scripts   map[string]map[string]bool
	fields    map[string]bool // of the configuration: see fieldsOf
	codes     map[int]bool
	checks    map[string]bool // of doctor
	literals  []string        // that doctor's text is made of
}

func open(t *testing.T) *repository {
	t.Helper()
	r := &repository{
		documents: map[string]*document{}, man: map[string]string{}, files: map[string]bool{}, tests: map[string][]string{},
		usage: map[string]usage{}, targets: map[string]bool{}, scripts: map[string]map[string]bool{},
		fields: configurationFields(), codes: specifiedCodes(), checks: map[string]bool{},
	}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(name), root), "/"))
		if e.IsDir() && (name == "output" || e.Name() == ".git" || e.Name() == "node_modules") {
			return fs.SkipDir
		}
		r.files[name] = true
		if e.IsDir() {
			return nil
		}
		return r.take(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.makeTargets()
	return r
}

// take reads what a file has to say.
func (r *repository) take(name string) error {
	isMan := path.Dir(name) == "docs/man"
	switch ext := path.Ext(name); {
	case ext == ".md", ext == ".go", ext == ".sh", ext == ".ps1", ext == ".mk", name == "Makefile", isMan:
	default:
		return nil
	}
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	text := string(b)
	switch ext := path.Ext(name); {
	case ext == ".md":
		r.documents[name] = newDocument(name, text)
	case isMan:
		r.man[name] = text
	case ext == ".sh", ext == ".ps1":
		r.scripts[path.Base(name)] = options(text)
	case ext == ".mk", name == "Makefile":
		r.makefile += text + "\n"
	default:
		return r.source(name, text)
	}
	return nil
}

// source reads a Go file: the tests' names; usage texts; codes; what doctor says.
func (r *repository) source(name, text string) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, "_test.go") {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && testName.MatchString(f.Name.Name) {
				r.tests[f.Name.Name] = append(r.tests[f.Name.Name], path.Dir(name))
			}
		}
		return nil
	}
	if strings.HasPrefix(name, "test/") {
		return nil
	}
	doctors := strings.HasPrefix(name, "doctor/") || strings.HasPrefix(path.Base(name), "doctor")
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if value := constant(n); n.Names[0].Name == "usage" && strings.HasPrefix(name, "cni/") {
				u := parseUsage(value)
				r.usage[u.program] = u
			} else if n.Names[0].Name == "check" && doctors {
				r.checks[value] = true
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); doctors && (ok && f.Sel.Name == "Report" || isIdent(n.Fun, "Report")) {
				if value := literal(n.Args[0]); value != "" {
					r.checks[value] = true
				}
			}
		case *ast.SelectorExpr:
			if code := codeOfSpecification[n.Sel.Name]; code != 0 && isIdent(n.X, "types") { // 0 is libcni's, when a plugin has no answer
				r.codes[code] = true
			}
		case *ast.BasicLit, *ast.BinaryExpr:
			if e, ok := n.(ast.Expr); ok && doctors && literal(e) != "" {
				r.literals = append(r.literals, literal(e))
			}
		}
		return true
	})
	if name == "cni/errors.go" {
		ownCodes(file, r.codes)
	}
	return nil
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[\p{Lu}\d_]`)

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// literal is the value of a string literal, or of several that are added; "" of everything else.
func literal(e ast.Expr) string {
	if sum, ok := e.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
		if first, second := literal(sum.X), literal(sum.Y); first != "" && second != "" {
			return first + second
		}
	}
	if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
		value, err := strconv.Unquote(l.Value)
		if err == nil {
			return value
		}
	}
	return ""
}

func constant(spec *ast.ValueSpec) string {
	if len(spec.Values) != 1 {
		return ""
	}
	return literal(spec.Values[0])
}
