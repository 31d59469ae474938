package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plugins are both of them by their names, for the sake of the modules in them.
var plugins = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "pack")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	texts := map[string][]byte{}
	for _, name := range []string{"azure-vnet", "azure-vnet-ipam"} {
		path := filepath.Join(dir, name)
		if err = goCommand("../..", "build", "-o", path, "./cni/"+name).Run(); err != nil {
			return nil, err
		}
		if texts[name], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return texts, nil
})

// packed makes a release of the program in a folder of its own.
func packed(t *testing.T, system string) (archive, document []byte) {
	t.Helper()
	r := release{os: system, arch: "amd64", version: "v1.2.3", time: time.Unix(1e9, 0).UTC(), bin: t.TempDir(),
		out: t.TempDir(), source: "../.."}
	texts, err := plugins()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.programs() {
		text := texts[strings.TrimSuffix(filepath.Base(p), ".exe")]
		if text == nil {
			text = texts["azure-vnet"] // the installer has its own test
		}
		if err = os.WriteFile(p, text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err = r.make(); err != nil {
		t.Fatal(err)
	}
	archive, err = os.ReadFile(filepath.Join(r.out, r.name()+r.format()))
	if err != nil {
		t.Fatal(err)
	}
	document, err = os.ReadFile(filepath.Join(r.out, r.name()+".spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	return archive, document
}

func TestTheSameInputGivesTheSameBytes(t *testing.T) {
	for _, system := range []string{"linux", "windows"} {
		archive, document := packed(t, system)
		again, documentAgain := packed(t, system)
		if !bytes.Equal(archive, again) || !bytes.Equal(document, documentAgain) {
			t.Errorf("%s: two archives of the same files differ", system)
		}
	}
}

func TestArchives(t *testing.T) {
	archive, _ := packed(t, "linux")
	unzip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	texts := map[string]string{}
	for r := tar.NewReader(unzip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		texts[h.Name] = string(text)
		got = append(got, fmt.Sprintf("%o %d:%d %d %s", h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Name))
	}
	if diff := cmp.Diff([]string{
		"644 0:0 1000000000 10-azure.conflist", "644 0:0 1000000000 LICENSE", "644 0:0 1000000000 THIRD-PARTY-LICENSES",
		"755 0:0 1000000000 azure-vnet", "755 0:0 1000000000 azure-vnet-ipam",
		"644 0:0 1000000000 10-azure.conflist.bridge", "644 0:0 1000000000 10-azure.conflist.tunnel",
		"644 0:0 1000000000 azure-vnet-metrics.service",
		"644 0:0 1000000000 azure-vnet-metrics.timer", "644 0:0 1000000000 azure-vnet-repair.service", "644 0:0 1000000000 azure-vnet.bash",
	}, got); diff != "" {
		t.Error(diff)
	}
	// The programs contain flock, among others, and Go itself: of both the licence has to come along, word for word.
	for _, want := range []string{"github.com/gofrs/flock v", "Copyright (c) 2015-2020, Tim Heckman", stdlib + " 1.",
		"Copyright 2009 The Go Authors", "THE COPYRIGHT\nOWNER OR CONTRIBUTORS BE LIABLE"} {
		if !strings.Contains(texts["THIRD-PARTY-LICENSES"], want) {
			t.Errorf("THIRD-PARTY-LICENSES lacks %q", want)
		}
	}
	for _, mode := range []string{"", ".bridge", ".tunnel"} {
		conf, err := os.ReadFile("../../cni/conf/10-azure-linux.conflist" + mode)
		if err != nil || texts["10-azure.conflist"+mode] != string(conf) {
			t.Errorf("the configuration %q is another one (%v)", mode, err)
		}
	}

	archive, _ = packed(t, "windows")
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, f := range z.File {
		got = append(got, f.Name)
	}
	if diff := cmp.Diff([]string{"10-azure.conflist", "LICENSE", "THIRD-PARTY-LICENSES", "azure-vnet.exe", "azure-vnet-ipam.exe",
		"azure-vnet-install.exe"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestModulesWithoutAKnownLicenceStopTheRelease(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // an expression, or a part of the error
		fails bool
	}{
		{"none", map[string]string{"README": "MIT"}, "has no licence", true},
		{"a notice alone", map[string]string{"NOTICE": "x"}, "has no licence", true},
		{"unknown", map[string]string{"LICENSE": "All rights reserved."}, "LICENSE is none of the licences that we know", true},
		{"one known, one not", map[string]string{"LICENSE": "Permission is hereby granted, free of charge, to any person obtaining a copy",
			"LICENSE.docs": "Ask us."}, "LICENSE.docs is none", true},
		{"two", map[string]string{"COPYING": "Apache License\n   Version 2.0, January 2004",
			"LICENSE.md": "Permission is hereby granted, free of charge,\nto any person obtaining a copy"}, "Apache-2.0 AND MIT", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := module{Path: "example.com/m", Version: "v1.0.0", Dir: t.TempDir()}
			for name, text := range c.files {
				if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			m.licences, err = licencesOf(m)
			got := m.expression()
			if c.fails {
				if err == nil {
					t.Fatalf("it is taken as %q", got)
				}
				got = err.Error()
			} else if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%q instead of %q", got, c.want)
			}
		})
	}
}
