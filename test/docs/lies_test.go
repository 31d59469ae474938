package docs

import (
	"slices"
	"strings"
	"testing"
)

// One lie of each kind, and the truth beside it, of which nothing may be said.
func TestEachKindOfLieIsSeen(t *testing.T) {
	t.Parallel()
	r := open(t)
	for name, lie := range map[string]struct{ path, text, seen string }{
		"a link to no file":               {"docs/a.md", "[cni](cni.md) [x](nowhere.md)", "there is no docs/nowhere.md"},
		"a link to no heading":            {"docs/a.md", "[x](cni.md#error-codes) [x](cni.md#no-such-heading)", "no such heading"},
		"a link to no heading of its own": {"docs/a.md", "# One two\n[x](#one-two) [x](#two)", "#two"},
		"a path":                          {"docs/a.md", "`cni/netconf.go` `cni/nothing.go`", "cni/nothing.go"},
		"a test":                          {"docs/a.md", "`TestEachKind…` `TestNothingOfTheKind`", "TestNothingOfTheKind"},
		"a test of another package": {"docs/a.md", "| a |\n|---|\n| `test/docs`: `TestEachKind…`; `ipam`: `TestEachKind…` |",
			"is not in ipam"},
		"a command": {"docs/a.md", "```bash\nazure-vnet show -o json | cat\nsudo /opt/cni/bin/azure-vnet destroy\n```",
			"it has no command destroy"},
		"an option": {"docs/a.md", "`azure-vnet cleanup [--network NAME] [--yes]` `azure-vnet cleanup --force`",
			"does not take --force"},
		"a word too many": {"docs/a.md",
			"`azure-vnet show web-0 -n default` `azure-vnet show web-0 web-1` `azure-vnet-ipam release 10.240.0.5`", "does not take web-1"},
		"an option of the other plugin": {"docs/a.md", "`azure-vnet-ipam show --data-dir /run` `azure-vnet-ipam show --yes`",
			"does not take --yes"},
		"an option without its value": {"docs/a.md", "`azure-vnet-ipam show --data-dir`", "has no value"},
		"an option of the installer": {"docs/a.md",
			"```bash\nssh \"$node\" sudo sh /tmp/install-cni-plugin.sh --from DIR\nsudo scripts/install-cni-plugin.sh --yes\n```",
			"does not take --yes"},
		"an option of Windows' installer": {"docs/a.md",
			"```PowerShell\nPS> scripts\\install-cni-plugin.ps1 -From D:\\release\nPS> scripts\\install-cni-plugin.ps1 -Force\n```",
			"does not take -Force"},
		"a target":           {"docs/a.md", "`make test lint` `make coffee`", "no target coffee"},
		"a variable of make": {"docs/a.md", "`make demo MODE=bridge` `make demo COLOUR=red`", "does not use COLOUR"},
		"a benchmark":        {"docs/a.md", "`make bench BENCH=PerPacket` `make bench BENCH=Nonsense`", "Nonsense"},
		"a test to run": {"docs/a.md",
			"```bash\nmake test TESTFLAGS='-v -run TestBurst' # ours\nmake test TESTFLAGS='-run TestNonsense'\n```", "TestNonsense"},
		"a package":           {"docs/a.md", "`go test ./store/` `go test ./nowhere`", "no folder nowhere"},
		"broken JSON":         {"docs/a.md", "```json\n{\"type\": }\n```", "invalid character"},
		"JSON without a mark": {"docs/a.md", "```\n{\"a\": 1}\n```", "not marked so"},
		"JSON of nobody":      {"docs/a.md", "```json fragment\n{\"a\": 1}\n```\n```json\n{\"a\": 1}\n```", "json fragment"},
		"a field in an example": {"docs/a.md",
			"```json\n{\"name\":\"a\",\"type\":\"azure-vnet\",\"brigde\":\"b\",\"ipam\":{\"type\":\"azure-vnet-ipam\"}}\n```", "brigde"},
		"a field of ipam in an example": {"docs/a.md",
			"```json\n{\"name\":\"a\",\"type\":\"ptp\",\"ipam\":{\"type\":\"azure-vnet-ipam\",\"subnett\":\"b\"}}\n```", "subnett"},
		"a value in an example": {"docs/a.md",
			"```json\n{\"name\":\"a\",\"plugins\":[{\"type\":\"azure-vnet\",\"mode\":\"bride\",\"ipam\":{\"type\":\"x\"}}]}\n```", "mode=bride"},
		"a code in an example": {"docs/a.md", "```json\n{\"code\":7,\"msg\":\"m\"}\n```\n```json\n{\"code\":77,\"msg\":\"m\"}\n```",
			"code 77"},
		"a field of an error": {"docs/a.md", "```json\n{\"code\":7,\"msg\":\"m\",\"message\":\"m\"}\n```", "message"},
		"a field of doctor's": {"docs/a.md",
			"```json\n{\"healthy\":true,\"findings\":[{\"check\":\"a\",\"found\":\"b\",\"level\":\"ok\",\"hint\":\"c\"}]}\n```", "hint"},
		"a result": {"docs/a.md", "```json\n{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0\"}]}\n```",
			"10.0.0"},
		"a field":                        {"docs/ipam.md", "| field | |\n|---|---|\n| `subnet`, `subnets` | |", "ipam.subnets"},
		"a field in the text":            {"docs/a.md", "`ipam.queryUrl` `ipam.queryURI`", "ipam.queryURI"},
		"an error code":                  {"docs/cni.md", "| code | |\n|---|---|\n| 6, 7 | |\n| 107 | |", "error code 107"},
		"an error code that is left out": {"docs/cni.md", "| code | |\n|---|---|\n| 6, 7 | |", "error code 100 is not documented"},
		"a check of doctor's":            {"docs/cni.md", "| check | |\n|---|---|\n| `bridge`, `bridges` | |", "check bridges"},
		"a check of doctor's, left out":  {"docs/cni.md", "| check | |\n|---|---|\n| `bridge` | |", "check rules is not documented"},
		"words of doctor's": {"docs/a.md",
			"| you see | doctor |\n|---|---|\n| a | `bridge`: `is gone, and what … of the host's` |\n| b | `bridge`: `is gone` |\n| c | `bridge`: " +
				"`is broken` |", `never says "is broken"`},
		"a capability's example": {"docs/cni.md", "| capability | |\n|---|---|\n| `mac` | `\"02:11:22:33:44\"` |",
			"runtimeConfig.mac"},
		"a capability's example, misspelt": {"docs/cni.md", "| capability | |\n|---|---|\n| `dns` | `{\"servers\": [], \"search\": []}` |",
			"search"},
		"a capability that nobody provides": {"docs/cni.md", "| capability | |\n|---|---|\n| `bandwidth` | `{}` |", "bandwidth"},
	} {
		seen := r.lies(newDocument(lie.path, lie.text))
		if !slices.ContainsFunc(seen, func(l string) bool { return strings.Contains(l, lie.seen) }) {
			t.Errorf("%s: %q is not seen: %q", name, lie.seen, seen)
		}
		if lie.path == "docs/a.md" && len(seen) != 1 {
			t.Errorf("%s: the truth is not believed: %q", name, seen)
		}
	}
}

// What is not told is seen where it should be.
func TestOmissionsAreSeen(t *testing.T) {
	t.Parallel()
	r := open(t)
	without := func(path, row string) *document {
		t.Helper()
		d := *r.documents[path]
		d.tables = slices.Clone(d.tables)
		before := len(documentedFields(&d))
		for i, table := range d.tables {
			d.tables[i].rows = slices.DeleteFunc(slices.Clone(table.rows), func(cells []string) bool { return cells[0] == row })
		}
		if len(documentedFields(&d)) == before {
			t.Fatalf("%s has no row %s", path, row)
		}
		return &d
	}
	cni, ipam := r.documents["docs/cni.md"], r.documents["docs/ipam.md"]
	for field, documents := range map[string][]*document{
		"mtu":                {without("docs/cni.md", "`mtu`"), ipam},
		"ipam.environment":   {cni, without("docs/ipam.md", "`environment`")},
		"runtimeConfig.mac":  {without("docs/cni.md", "`mac`"), ipam},
		"prevResult":         {without("docs/cni.md", "`prevResult`"), ipam},
		"windowsSettings":    {without("docs/cni.md", "`windowsSettings`"), ipam},
		"ipam.queryInterval": {cni, without("docs/ipam.md", "`queryInterval`")},
	} {
		if seen := r.untoldFields(documents...); !slices.Contains(seen, "field "+field+" is not documented") {
			t.Errorf("%s is not missed: %q", field, seen)
		}
	}

	const page = "docs/man/azure-vnet.8"
	for old, seen := range map[string]string{
		".It 100\n":          "error code 100 is not documented",
		".It 999\n":          "error code 999 is not documented",
		"-data-dir":          "option --data-dir is not in the man page",
		".Nm\n.Cm cleanup\n": "command cleanup is not in the man page",
	} {
		text := strings.ReplaceAll(r.man[page], old, "")
		if text == r.man[page] {
			t.Errorf("%s has no %q", page, old)
		}
		if lies := append(r.wrongManOptions(page, text), r.wrongManCodes(page, text)...); !slices.Contains(lies, seen) {
			t.Errorf("without %q: %q is not missed: %q", old, seen, lies)
		}
	}
	for added, seen := range map[string]string{".Fl -force\n": "option --force: the program does not have it",
		".It 107\n": "error code 107: nothing answers with it"} {
		text := strings.Replace(r.man[page], ".It 106\n", added+".It 106\n", 1)
		if lies := append(r.wrongManOptions(page, text), r.wrongManCodes(page, text)...); !slices.Contains(lies, seen) {
			t.Errorf("with %q: %q is not seen: %q", added, seen, lies)
		}
	}
}
