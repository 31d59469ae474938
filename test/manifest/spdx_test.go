package manifest

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// The document of a release that make has built (SPDX_DOCUMENT) is read by SPDX's own library, and hangs together.
func TestSPDXDocument(t *testing.T) {
	f := os.Getenv("SPDX_DOCUMENT")
	text, err := os.ReadFile(f)
	if err != nil {
		t.Fatalf("SPDX_DOCUMENT does not name a document (%v): run \"make test-manifest\"", err)
	}
	var d spdx.Document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	if d.SPDXVersion != spdx.Version || d.DataLicense != spdx.DataLicense || d.DocumentNamespace == "" || d.CreationInfo == nil {
		t.Errorf("%s lacks what each document has: %+v", f, d.CreationInfo)
	}
	known := map[string]bool{"DOCUMENT": true}
	for _, p := range d.Packages {
		known[string(p.PackageSPDXIdentifier)] = true
		if p.PackageLicenseConcluded == "" || p.PackageLicenseConcluded == "NOASSERTION" || p.PackageVersion == "" ||
			p.PackageDownloadLocation == "" {
			t.Errorf("%s: %s has no licence, version or location", f, p.PackageName)
		}
	}
	for _, x := range d.Files {
		known[string(x.FileSPDXIdentifier)] = true
	}
	if len(d.Files) < 5 || len(d.Packages) < 5 {
		t.Errorf("%s has %d files and %d packages", f, len(d.Files), len(d.Packages))
	}
	for _, r := range d.Relationships {
		if !known[string(r.RefA.ElementRefID)] || !known[string(r.RefB.ElementRefID)] {
			t.Errorf("%s: %s %s %s names what is not there", f, r.RefA.ElementRefID, r.Relationship, r.RefB.ElementRefID)
		}
	}
	again, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(again, []byte("packageVerificationCodeValue")) {
		t.Errorf("%s: the files have no verification code", f)
	}
}
