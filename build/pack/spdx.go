package main

import (
	"crypto/sha1" // SPDX 2.3, 8.4, demands it of every file
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The part of SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/) that says what the archive and its binaries consist of.
type (
	document struct {
		SPDXVersion       string         `json:"spdxVersion"`
		DataLicense       string         `json:"dataLicense"`
		SPDXID            string         `json:"SPDXID"`
		Name              string         `json:"name"`
		DocumentNamespace string         `json:"documentNamespace"`
		CreationInfo      creationInfo   `json:"creationInfo"`
		Packages          []spdxPackage  `json:"packages"`
		Files             []spdxFile     `json:"files"`
		Relationships     []relationship `json:"relationships"`
	}
	creationInfo struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		SPDXID           string        `json:"SPDXID"`
		Name             string        `json:"name"`
		VersionInfo      string        `json:"versionInfo"`
		PackageFileName  string        `json:"packageFileName,omitempty"`
		DownloadLocation string        `json:"downloadLocation"`
		FilesAnalyzed    bool          `json:"filesAnalyzed"`
		VerificationCode *verification `json:"packageVerificationCode,omitempty"`
		Checksums        []checksum    `json:"checksums,omitempty"`
		LicenseConcluded string        `json:"licenseConcluded"`
		LicenseDeclared  string        `json:"licenseDeclared"`
		CopyrightText    string        `json:"copyrightText"`
		ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
	}
	spdxFile struct {
		SPDXID           string     `json:"SPDXID"`
		FileName         string     `json:"fileName"`
		Checksums        []checksum `json:"checksums"`
		LicenseConcluded string     `json:"licenseConcluded"`
		CopyrightText    string     `json:"copyrightText"`
	}
	verification struct {
		Value string `json:"packageVerificationCodeValue"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	externalRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const (
	homepage    = "https://github.com/Azure/azure-container-networking"
	documentID  = "SPDXRef-DOCUMENT"
	archiveID   = "SPDXRef-Archive"
	noAssertion = "NOASSERTION"
)

// spdx describes the archive. Its namespace is made of the archive's sum, so it is unique and yet the same in each
// build.
func (r release) spdx(files []file, archive []byte, modules []module) ([]byte, error) {
	sum := sum256(archive)
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: documentID, Name: r.name(),
		DocumentNamespace: fmt.Sprintf("%s/spdx/%s-%s", homepage, r.name(), sum[:16]),
		CreationInfo: creationInfo{Created: r.time.Format(time.RFC3339),
			Creators: []string{"Tool: azure-container-networking-pack"}},
	}
	relate := func(element, kind, related string) {
		d.Relationships = append(d.Relationships, relationship{element, kind, related})
	}
	d.Packages = append(d.Packages, spdxPackage{
		SPDXID: archiveID, Name: "azure-vnet-cni", VersionInfo: r.version, PackageFileName: r.name() + r.format(),
		DownloadLocation: fmt.Sprintf("%s/releases/download/%s/%s%s", homepage, r.version, r.name(), r.format()),
		FilesAnalyzed:    true, VerificationCode: verificationCode(files),
		Checksums: []checksum{{"SHA256", sum}}, LicenseConcluded: "MIT", LicenseDeclared: "MIT", CopyrightText: noAssertion,
	})
	relate(documentID, "DESCRIBES", archiveID)
	for _, f := range files {
		id := spdxID("File", f.name)
		d.Files = append(d.Files, spdxFile{
			SPDXID: id, FileName: "./" + f.name, Checksums: []checksum{{"SHA1", sum1(f.data)}, {"SHA256", sum256(f.data)}},
			LicenseConcluded: noAssertion, CopyrightText: noAssertion,
		})
		relate(archiveID, "CONTAINS", id)
	}
	for _, m := range modules {
		p := spdxPackage{
			SPDXID: spdxID("Module", m.Path), Name: m.Path, VersionInfo: m.Version, DownloadLocation: noAssertion,
			LicenseConcluded: m.expression(), LicenseDeclared: m.expression(), CopyrightText: noAssertion,
			ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}},
		}
		d.Packages = append(d.Packages, p)
		relate(archiveID, "DEPENDS_ON", p.SPDXID)
	}
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

// verificationCode is SPDX 2.3, 7.9: the sum of the sorted sums of all files.
func verificationCode(files []file) *verification {
	var sums []string
	for _, f := range files {
		sums = append(sums, sum1(f.data))
	}
	slices.Sort(sums)
	return &verification{sum1([]byte(strings.Join(sums, "")))}
}

func sum1(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

func sum256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// spdxID is an identifier; SPDX allows letters, digits, points and hyphens in it.
func spdxID(kind, name string) string {
	return "SPDXRef-" + kind + "-" + notInID.ReplaceAllString(name, "-")
}
