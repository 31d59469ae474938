package docs

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// codeOfSpecification are the codes of the CNI specification by their name in Go.
var codeOfSpecification = map[string]int{
	"ErrUnknown": int(types.ErrUnknown), "ErrIncompatibleCNIVersion": int(types.ErrIncompatibleCNIVersion),
	"ErrUnsupportedField": int(types.ErrUnsupportedField),
	"ErrUnknownContainer": int(types.ErrUnknownContainer), "ErrInvalidEnvironmentVariables": int(types.ErrInvalidEnvironmentVariables),
	"ErrIOFailure": int(types.ErrIOFailure), "ErrDecodingFailure": int(types.ErrDecodingFailure),
	"ErrInvalidNetworkConfig": int(types.ErrInvalidNetworkConfig),
	"ErrInvalidNetNS":         int(types.ErrInvalidNetNS), "ErrTryAgainLater": int(types.ErrTryAgainLater),
	"ErrInternal": int(types.ErrInternal),
}

// specifiedCodes are those that skel answers with before we are asked.
func specifiedCodes() map[int]bool {
	return map[int]bool{int(types.ErrIncompatibleCNIVersion): true, int(types.ErrInvalidEnvironmentVariables): true,
		int(types.ErrDecodingFailure): true}
}

// ownCodes adds the integer constants of cni/errors.go.
func ownCodes(file *ast.File, codes map[int]bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(strings.ToLower(spec.Names[0].Name), "code") {
			return true
		}
		if l, ok := spec.Values[0].(*ast.BasicLit); ok && l.Kind == token.INT {
			code, _ := strconv.Atoi(l.Value) // the compiler has read it
			codes[code] = true
		}
		return true
	})
}

var number = regexp.MustCompile(`\d+`)

// codesOf are the codes in a document's tables of codes.
func codesOf(d *document) map[int]bool {
	found := map[int]bool{}
	for _, t := range d.tables {
		if t.head[0] != "code" {
			continue
		}
		for _, row := range t.rows {
			for _, text := range number.FindAllString(row[0], -1) {
				code, _ := strconv.Atoi(text) // digits
				found[code] = true
			}
		}
	}
	return found
}

// wrongCodes: a code that nothing answers with, or one that the document does not tell.
func (r *repository) wrongCodes(d *document) (lies []string) {
	if d.path != "docs/cni.md" {
		return nil
	}
	return difference("error code", codesOf(d), r.codes, "nothing answers with it", "is not documented")
}

// manCode is an item of a list such as ".It 100".
var manCode = regexp.MustCompile(`(?m)^\.It (\d+(?: , \d+)*)$`)

// wrongManCodes: one page lists them.
func (r *repository) wrongManCodes(name, text string) []string {
	if name != "docs/man/azure-vnet.8" {
		return nil
	}
	found := map[int]bool{}
	_, section, _ := strings.Cut(text, "\n.Sh DIAGNOSTICS\n")
	section, _, _ = strings.Cut(section, "\n.Sh ")
	for _, m := range manCode.FindAllStringSubmatch(section, -1) {
		for _, one := range number.FindAllString(m[1], -1) {
			code, _ := strconv.Atoi(one)
			found[code] = true
		}
	}
	return difference("error code", found, r.codes, "nothing answers with it", "is not documented")
}

// difference says which keys are in one of the sets only.
func difference[K comparable](what string, named, there map[K]bool, notThere, notNamed string) (lies []string) {
	for k := range named {
		if !there[k] {
			lies = append(lies, fmt.Sprintf("%s %v: %s", what, k, notThere))
		}
	}
	for k := range there {
		if !named[k] {
			lies = append(lies, fmt.Sprintf("%s %v %s", what, k, notNamed))
		}
	}
	return lies
}
