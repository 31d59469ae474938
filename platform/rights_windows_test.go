package platform

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/windows"
)

func TestRestrictLeavesNobodyElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sd, err := windows.SecurityDescriptorFromString("D:(A;OICI;FA;;;WD)")
	if err != nil {
		t.Fatal(err)
	}
	acl, _, err := sd.DACL()
	if err == nil {
		err = windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION, nil, nil, acl, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if who, err := Writers(dir); err != nil || !slices.Contains(who, "Everyone") {
		t.Fatalf("an open folder: %v, %v", who, err)
	}
	if err := Restrict(dir, UsersRead); err != nil {
		t.Fatal(err)
	}
	if who, err := Writers(dir); err != nil || len(who) > 0 {
		t.Errorf("afterwards: %v, %v", who, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if who, err := Writers(file); err != nil || len(who) > 0 {
		t.Errorf("a file in it: %v, %v", who, err)
	}
	if err := os.Remove(file); err != nil {
		t.Error(err)
	}
}
