package docs

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// lies of one document, of every kind that needs no other one.
func (r *repository) lies(d *document) (all []string) {
	for _, check := range []func(*document) []string{
		r.wrongLinks, r.wrongPaths, r.wrongTests, r.wrongCommands, r.wrongJSON, r.unknownFields, r.wrongCodes, r.wrongDoctor,
	} {
		all = append(all, check(d)...)
	}
	return all
}

func TestDocumentsAreTrue(t *testing.T) {
	t.Parallel()
	r := open(t)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/cni.md", "docs/acs.md",
		"docs/network.md", "docs/ipam.md",
		"docs/migration.md", "docs/troubleshooting.md", "docs/architecture.md", "docs/development.md", "docs/testing.md", "docs/install.md"} {
		if r.documents[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.documents)) {
		for _, lie := range r.lies(r.documents[name]) {
			t.Errorf("%s: %s", name, lie)
		}
	}
	if t.Failed() {
		return
	}
	for _, lie := range r.untoldFields(r.documents["docs/cni.md"], r.documents["docs/ipam.md"]) {
		t.Errorf("docs/cni.md or docs/ipam.md: %s", lie)
	}
}

// Whoever reads a document comes to the others by links.
func TestEveryDocumentIsLinked(t *testing.T) {
	t.Parallel()
	r := open(t)
	linked := map[string]bool{"README.md": true}
	for _, d := range r.documents {
		for _, l := range d.links {
			file, _, _ := strings.Cut(l.text, "#")
			linked[d.beside(file)] = true
		}
	}
	for name := range r.documents {
		if !linked[name] {
			t.Errorf("no document has a link to %s", name)
		}
	}
}

func TestManPagesAreTrue(t *testing.T) {
	t.Parallel()
	r := open(t)
	for _, name := range []string{"docs/man/azure-vnet.8", "docs/man/azure-vnet-ipam.8"} {
		text, ok := r.man[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		for _, lie := range append(r.wrongManOptions(name, text), r.wrongManCodes(name, text)...) {
			t.Errorf("%s: %s", name, lie)
		}
	}
}

// Each row of the field notes has its test in testing.md, and its symptom in troubleshooting.md.
func TestFieldNotesAreToldToOperators(t *testing.T) {
	t.Parallel()
	r := open(t)
	told := rowsOf(r.documents["docs/troubleshooting.md"], func(table table, cells []string) string { return cells[len(table.head)-1] })
	tested := rowsOf(r.documents["docs/testing.md"], func(_ table, cells []string) string { return cells[0] })
	if len(tested) != 16 {
		t.Errorf("testing.md has %d rows of the field notes, and there are 16", len(tested))
	}
	for _, lie := range difference("row", told, tested, "testing.md does not have it", "is not in troubleshooting.md") {
		t.Error(lie)
	}
}

// rowsOf are the numbers in the column "row", which cell finds.
func rowsOf(d *document, cell func(table, []string) string) map[string]bool {
	rows := map[string]bool{}
	for _, t := range d.tables {
		if !slices.Contains(t.head, "row") {
			continue
		}
		for _, cells := range t.rows {
			for _, n := range number.FindAllString(cell(t, cells), -1) {
				rows[n] = true
			}
		}
	}
	return rows
}
