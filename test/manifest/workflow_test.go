package manifest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what of GitHub's format our file uses.
type workflow struct {
	Name        string            `json:"name"`
	On          map[string]any    `json:"on"`
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]struct {
		If      string `json:"if"`
		Needs   string `json:"needs"`
		RunsOn  string `json:"runs-on"`
		Minutes int    `json:"timeout-minutes"`
		Steps   []struct {
			Name             string            `json:"name"`
			If               string            `json:"if"`
			Uses             string            `json:"uses"`
			With             map[string]string `json:"with"`
			Run              string            `json:"run"`
			WorkingDirectory string            `json:"working-directory"`
		} `json:"steps"`
	} `json:"jobs"`
}

// The workflow cannot be run here. What it names is there, and it says that it has not been run.
func TestTheWorkflowOfWindowsNamesWhatIsThere(t *testing.T) {
	const file = "../../.github/workflows/windows.yml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// YAML 1.1 takes a bare on for true.
	quoted := strings.Replace(string(text), "\non:\n", "\n\"on\":\n", 1)
	var w workflow
	if err := yaml.UnmarshalStrict([]byte(quoted), &w); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "NOT YET RUN") {
		t.Error("it does not say that nobody has run it")
	}
	if _, ok := w.On["workflow_dispatch"]; !ok || len(w.Jobs) != 2 {
		t.Errorf("it runs on %v, jobs %d", w.On, len(w.Jobs))
	}
	path := regexp.MustCompile(`(?:^|[\s(])((?:\./|test/)[a-z][\w./-]*)`)
	all := ""
	for name, job := range w.Jobs {
		if job.RunsOn != "windows-2022" || job.Minutes == 0 {
			t.Errorf("job %s runs on %q, %d minutes", name, job.RunsOn, job.Minutes)
		}
		if _, ok := w.Jobs[job.Needs]; job.Needs != "" && !ok {
			t.Errorf("job %s needs %s", name, job.Needs)
		}
		for _, s := range job.Steps {
			if (s.Uses == "") == (s.Run == "") {
				t.Errorf("step %q of %s: either uses or run", s.Name, name)
			}
			all += s.Run + "\n"
			dir := filepath.Join("../..", s.WorkingDirectory)
			for line := range strings.Lines(s.Run) {
				at := dir
				if to, rest, ok := strings.Cut(line, ";"); ok && strings.HasPrefix(to, "cd ") {
					at, line = filepath.Join(dir, strings.TrimPrefix(to, "cd ")), rest
				}
				for _, m := range path.FindAllStringSubmatch(line, -1) {
					if _, err := os.Stat(filepath.Join(at, strings.TrimSuffix(m[1], "/..."))); err != nil {
						t.Errorf("step %q of %s: %v", s.Name, name, err)
					}
				}
			}
		}
	}
	for _, what := range []string{"hcsshim/hcn", "selftest", "by-hand.ps1", "selftest after restart"} {
		if !strings.Contains(all, what) {
			t.Errorf("it does not run %s", what)
		}
	}
}
