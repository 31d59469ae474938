package cni_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/console/consoletest"
)

func TestTheFolderOfTheStateIsFound(t *testing.T) {
	t.Parallel()
	const (
		single = `{"name":"a","type":"azure-vnet","dataDir":"/run/single","logLevel":"INFO"}`
		list   = `{"name":"b","cniVersion":"1.0.0","plugins":[{"type":"portmap"},{"type":"azure-vnet","dataDir":"/run/list"}]}`
		plain  = `{"name":"c","type":"azure-vnet"}`
		other  = `{"name":"d","type":"bridge","dataDir":"/run/other"}`
	)
	there := t.TempDir()
	for name, c := range map[string]struct {
		files       map[string]string
		named, file string
		want, fails string
	}{
		"nothing says it":   {want: "/usual"},
		"one configuration": {files: map[string]string{"10-a.conf": single}, want: "/run/single"},
		"a list":            {files: map[string]string{"10-a.conflist": list}, want: "/run/list"},
		"several": {files: map[string]string{"20-a.conf": single, "10-b.conflist": list, "30-c.json": plain},
			want: "/run/list /run/single /usual"},
		"another plugin's":                    {files: map[string]string{"10-a.conf": other}, want: "/usual"},
		"no configuration by its name":        {files: map[string]string{"10-a.conf.off": single}, want: "/usual"},
		"one of ours that is damaged":         {files: map[string]string{"10-a.conf": single[:40]}, fails: "10-a.conf: no JSON"},
		"another one that is damaged":         {files: map[string]string{"10-a.conf": "{", "20-b.conf": single}, want: "/run/single"},
		"the folder is named":                 {files: map[string]string{"10-a.conf": single}, named: there, want: there},
		"a folder is named that is not there": {named: filepath.Join(there, "nowhere"), fails: "--data-dir"},
		"what is named is no folder":          {named: os.Args[0], fails: "is no folder"},
		"a file is named":                     {files: map[string]string{"10-a.conf": single, "x": list}, file: "x", want: "/run/list"},
		"a file is named that is not there":   {file: "x", fails: consoletest.NotThere(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.file != "" {
				c.file = filepath.Join(dir, c.file)
			}
			ours := func(s cni.Section) bool { return s.Type == "azure-vnet" }
			got, err := cni.Folder(c.named, c.file, dir, "/usual", ours)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v instead of %q", err, c.fails)
				}
				return
			}
			if err != nil || !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("%v, %v instead of %s", got, err, c.want)
			}
		})
	}
}
