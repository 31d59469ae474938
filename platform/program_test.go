package platform

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elf and pe are what the head of a program has of its linker's ID.
func elf(id string) string {
	return "\x7fELF" + strings.Repeat("\x00", 300) + "\x04\x00\x00\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(id)))) +
		"\x04\x00\x00\x00Go\x00\x00" + id + "code"
}

func pe(id string) string {
	return "MZ" + strings.Repeat("\x00", 300) + "\xff Go build ID: \"" + id + "\"\n \xff" + "code"
}

func TestTheStampOfAProgramIsRead(t *testing.T) {
	t.Parallel()
	const stamp = "azure-vnet/0123456789abcdef"
	for name, c := range map[string]struct{ head, want string }{
		"ELF":                             {elf(stamp), stamp},
		"PE":                              {pe(stamp), stamp},
		"ELF, Go's own":                   {elf("aaaa/bbbb/cccc/dddd"), ""},
		"PE, Go's own":                    {pe("aaaa/bbbb/cccc/dddd"), ""},
		"ELF, none":                       {elf(""), ""},
		"PE, none":                        {pe(""), ""},
		"ELF, nothing but what begins it": {elf("azure-vnet/"), ""},
		"PE, nothing but what begins it":  {pe("azure-vnet/"), ""},
		"PE without an end":               {strings.TrimSuffix(pe(stamp), "\"\n \xffcode"), ""},
		"ELF, longer than the file":       {strings.TrimSuffix(elf(stamp), "code")[:330], ""},
		"ELF, a note without a length":    {"\x04\x00\x00\x00Go\x00\x00" + stamp, ""},
		"behind the head":                 {strings.Repeat("\x00", programHead) + elf(stamp), ""},
		"a script":                        {"#!/bin/sh\n", ""},
		"empty":                           {"", ""},
	} {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte(c.head), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := stampOf(path); got != c.want {
			t.Errorf("%s: %q instead of %q", name, got, c.want)
		}
	}
	if got := stampOf(t.TempDir() + "/none"); got != "" {
		t.Errorf("no program: %q", got)
	}
}

// A test is no program of a build: not even itself is of the same one.
func TestAProgramWithoutAStampIsOfNoBuild(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if SameBuild(self) {
		t.Error("it is of the same build as a program without a stamp")
	}
}
