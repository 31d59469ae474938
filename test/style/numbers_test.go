package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What others fix, and we go by, is in package azure, with its source: an address that is written down a second time is
// one that somebody forgets to change.
func TestNumbersOfThePlatformHaveOneHome(t *testing.T) {
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || name == "output" || name == "azure" ||
			name == "test" || name == "build"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		for _, finding := range secondHomes(t, path, nil) {
			t.Error(finding)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecondHomesAreFound(t *testing.T) {
	const file = `package p
import "x/168.63.129.16"
var (
	a = "http://168.63.129.16/machine"
	b = []byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc}
	c = [4]byte{168, 63, 129, 16}
	d = net.HardwareAddr{0x0a, 0x58, b[0]}
	e = []int{80, 32526}
	f = "azv*"
	g = "mas"
	h = "l2tunnel"
	i = "azure%d"
	j = "fe80::1234:5678:9abc"
	k = "0a:58"
)
type t struct { A string ` + "`json:\"mas\"`" + ` }
var fine = []string{"look at 168.63.129.16, port 32526", "azure-vnet", "mass", "bridge", "10.168.63.129"}
var alsoFine = []int{16, 0x0a, 88}
`
	var got []string
	for _, finding := range secondHomes(t, "p.go", []byte(file)) {
		got = append(got, strings.TrimPrefix(finding, "p.go:"))
	}
	want := []string{
		`4: "http://168.63.129.16/machine" is in package azure`, `5: 0x12, 0x34 is in package azure`, `6: 168, 63, 129, 16 is in package azure`,
		`7: 0x0a, 0x58 is in package azure`, `8: 32526 is in package azure`, `9: "azv*" is in package azure`, `10: "mas" is in package azure`,
		`11: "l2tunnel" is in package azure`, `12: "azure%d" is in package azure`, `13: "fe80::1234:5678:9abc" is in package azure`,
		`14: "0a:58" is in package azure`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}

var (
	// A text with a blank is for people.
	ofAzure = regexp.MustCompile(`^azv[^ ]*$|^azure%d$|^mas$|^(l2-?)(tunnel|bridge)$|^(tunnel|transparent)$|^[^ ]*\b(168\.63\.129\.16|32526|12:34:56:78:9a:bc|fe80::1234:5678:9abc)\b[^ ]*$|^0a:58`)
	// Elements of a list, one after the other.
	ofAzureInRow = []string{"0x12, 0x34", "168, 63, 129, 16", "0x0a, 0x58"}
)

// secondHomes lists literals of values that package azure has.
func secondHomes(t *testing.T, path string, source any) (findings []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := func(n ast.Node, what string) {
		findings = append(findings, set.Position(n.Pos()).Filename+":"+strconv.Itoa(set.Position(n.Pos()).Line)+": "+what+" is in package azure")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			return n.Tag == nil
		case *ast.CompositeLit:
			var row []string
			for _, e := range n.Elts {
				if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.INT {
					row = append(row, strings.ToLower(l.Value))
				}
			}
			for _, sequence := range ofAzureInRow {
				if strings.HasPrefix(strings.Join(row, ", "), sequence) {
					at(n, sequence)
				}
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil && ofAzure.MatchString(text) ||
				n.Kind == token.INT && n.Value == "32526" {
				at(n, n.Value)
			}
		}
		return true
	})
	return findings
}
