package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// licence is a file of a module's that has to come along with the binaries.
type licence struct {
	name string
	text []byte
	id   string // SPDX, "" for a notice
}

// What licence files and notices are called, https://pkg.go.dev/license-policy.
var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense|notice|patents)([.-].*)?$`)

// The licences that we know how to obey, by a sentence that only they have, the more special ones first.
var knownLicences = []struct{ id, sentence string }{
	{"Apache-2.0", "Apache License Version 2.0, January 2004"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"BSD-3-Clause", "nor the names of its contributors may be used to endorse or promote products"},
	{"BSD-3-Clause", "may not be used to endorse or promote products"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice"},
	{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
}

// licencesOf reads the licence files at the top of a module. A module without one, or with one that nobody has looked
// at, stops the release.
func licencesOf(m module) ([]licence, error) {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, err
	}
	var found []licence
	licensed := false
	for _, e := range entries {
		if e.IsDir() || !licenceName.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return nil, err
		}
		l := licence{name: e.Name(), text: bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))}
		if kind := strings.ToLower(e.Name()); !strings.HasPrefix(kind, "notice") && !strings.HasPrefix(kind, "patents") {
			if l.id = identify(l.text); l.id == "" {
				return nil, fmt.Errorf("module %s %s: %s is none of the licences that we know: look at it, and add it to "+
					"build/pack/licences.go", m.Path, m.Version, e.Name())
			}
			licensed = true
		}
		found = append(found, l)
	}
	if !licensed {
		return nil, fmt.Errorf("module %s %s has no licence at its top (%s): it cannot be part of a release", m.Path,
			m.Version, m.Dir)
	}
	return found, nil
}

func identify(text []byte) string {
	plain := strings.Join(strings.Fields(string(text)), " ")
	for _, known := range knownLicences {
		if strings.Contains(plain, known.sentence) {
			return known.id
		}
	}
	return ""
}

// expression is the SPDX expression of the module's licences: all of them hold.
func (m module) expression() string {
	var ids []string
	for _, l := range m.licences {
		if l.id != "" && !strings.Contains(strings.Join(ids, " "), l.id) {
			ids = append(ids, l.id)
		}
	}
	return strings.Join(ids, " AND ")
}

// thirdParty is the file with everybody's licences.
func thirdParty(modules []module) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "The plugins contain the following modules, under their own licences.\n")
	for _, m := range modules {
		for _, l := range m.licences {
			line := strings.Repeat("=", 80)
			fmt.Fprintf(&out, "\n%s\n%s %s: %s\n%s\n\n%s\n", line, m.Path, m.Version, l.name, line, bytes.TrimSpace(l.text))
		}
	}
	return out.Bytes()
}
