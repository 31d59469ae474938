package manifest

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"sigs.k8s.io/yaml"
)

// labels are those of each metric that azure-vnet metrics writes, by its name as a query has it.
func labels(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../cni/metrics/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{"node_textfile_mtime_seconds": {"file"}}
	for name, f := range families {
		var names []string
		for _, l := range f.Metric[0].Label {
			names = append(names, l.GetName())
		}
		if f.Metric[0].Histogram != nil {
			name, names = name+"_bucket", append(names, "le")
		}
		found[name] = names
	}
	return found
}

var (
	metric  = regexp.MustCompile(`\b((?:azure_vnet|node_textfile)_\w+)(?:\{([^}]*)\})?`)
	matcher = regexp.MustCompile(`(\w+)\s*(?:=~|!=|!~|=)\s*"`)
)

// wrongQuery names a metric or a label that is not there, and brackets that do not match.
func wrongQuery(known map[string][]string, expr string) (wrong []string) {
	for _, m := range metric.FindAllStringSubmatch(expr, -1) {
		names, there := known[m[1]]
		if !there {
			wrong = append(wrong, m[1])
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "instance" && !slices.Contains(names, l[1]) {
				wrong = append(wrong, m[1]+"{"+l[1]+"}")
			}
		}
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			wrong = append(wrong, pair)
		}
	}
	return wrong
}

// The dashboard asks for metrics and labels that there are, and shows every one that there is.
func TestTheDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/monitoring/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID    string
		SchemaVersion int
		Panels        []struct {
			ID      int
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ RefID, Expr, LegendFormat string }
		}
	}
	if err = json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	known, ids, all := labels(t), map[int]bool{}, ""
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			all += q.Expr + "\n"
			if wrong := wrongQuery(known, q.Expr); len(wrong) > 0 || !strings.Contains(q.Expr, `instance=~"$node"`) {
				t.Errorf("%s: %s: there is no %v", p.Title, q.Expr, wrong)
			}
			for _, l := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
				if name := metric.FindStringSubmatch(q.Expr)[1]; l[1] != "instance" && !slices.Contains(known[name], l[1]) {
					t.Errorf("%s: %s has no label %s", p.Title, name, l[1])
				}
			}
		}
	}
	for name := range known {
		if strings.HasPrefix(name, "azure_vnet") && !strings.Contains(all, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// The alerts ask for what there is, and are those of docs/metrics.md, expression by expression.
func TestTheAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         model.Duration    `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err = yaml.UnmarshalStrict(text, &rules); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	told := strings.ReplaceAll(string(page[bytes.Index(page, []byte("## What to alert on")):]), "` and `", " and ")
	known := labels(t)
	for _, r := range rules.Groups[0].Rules {
		if wrong := wrongQuery(known, r.Expr); len(wrong) > 0 {
			t.Errorf("%s: there is no %v", r.Alert, wrong)
		}
		if !strings.Contains(told, "| `"+r.Expr+"` |") {
			t.Errorf("%s: docs/metrics.md does not have %s", r.Alert, r.Expr)
		}
		if r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s has no summary or severity", r.Alert)
		}
	}
	if want := strings.Count(told, "\n| `"); len(rules.Groups[0].Rules) != want {
		t.Errorf("%d alerts, and docs/metrics.md has %d", len(rules.Groups[0].Rules), want)
	}
}
