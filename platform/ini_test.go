package platform

import (
	"os"
	"path/filepath"
	"testing"
)

// What a file, or a drop-in behind it, says last is what counts (systemd.syntax(7)).
func TestTheLastValueOfASettingCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files []string
		want  bool
	}{
		"yes":                     {[]string{"[Network]\nKeepMaster=yes\n"}, true},
		"no":                      {[]string{"KeepMaster=no\n"}, false},
		"nothing":                 {[]string{"[Network]\n"}, false},
		"yes, then no":            {[]string{"KeepMaster=yes\nKeepMaster=no\n"}, false},
		"no, then yes":            {[]string{"KeepMaster=no\nKeepMaster=yes\n"}, true},
		"a drop-in says yes":      {[]string{"KeepMaster=no\n", "KeepMaster=true\n"}, true},
		"a drop-in says no":       {[]string{"KeepMaster=1\n", "KeepMaster=off\n"}, false},
		"a drop-in takes it back": {[]string{"KeepMaster=yes\n", "KeepMaster=\n"}, false},
		"a comment":               {[]string{"KeepMaster=yes\n", "# KeepMaster=no\n;KeepMaster=no\n"}, true},
		"spaces, and no end":      {[]string{"  KeepMaster = On"}, true},
		"another key":             {[]string{"KeepMasters=yes\n"}, false},
	} {
		settings := INI{}
		for _, text := range c.files {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			ReadINI(settings, file)
		}
		if got := settings.On("KeepMaster"); got != c.want {
			t.Errorf("%s: %t, of %v", name, got, settings)
		}
	}
	if got := ReadINI(INI{}, t.TempDir()+"/none"); len(got) > 0 {
		t.Errorf("a file that is not there sets %v", got)
	}
}
