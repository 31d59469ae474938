package manifest

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	attestation "github.com/in-toto/attestation/go/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"
)

// The statement of how a release was built is read strictly, and accepted, by in-toto's own library.
func TestProvenance(t *testing.T) {
	t.Parallel()
	f := os.Getenv("PROVENANCE")
	text, err := os.ReadFile(f)
	if err != nil {
		t.Fatalf("PROVENANCE does not name a statement (%v): run \"make test-manifest\"", err)
	}
	var s attestation.Statement
	if err = protojson.Unmarshal(text, &s); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	if err = s.Validate(); err != nil {
		t.Error(err)
	}
	predicate, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p provenance.Provenance
	if err = protojson.Unmarshal(predicate, &p); err != nil {
		t.Fatal(err)
	}
	if err = p.Validate(); err != nil {
		t.Error(err)
	}
	if s.PredicateType != "https://slsa.dev/provenance/v1" || len(s.Subject) < 2 ||
		p.BuildDefinition.ResolvedDependencies[0].Digest["gitCommit"] == "" {
		t.Errorf("it says %s", text)
	}
}

// What openssl signs, as make release does, is verified by sigstore's library as cosign verify-blob --key does it.
func TestSignaturesAreCosigns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sums := []byte("sums")
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), sums, 0o600); err != nil {
		t.Fatal(err)
	}
	sh := exec.Command("sh", "-ec", `openssl ecparam -name prime256v1 -genkey -noout -out release.key
openssl ec -in release.key -pubout -out release.pub
make -s -C "$0" sign-release RELEASE="$PWD" KEY="$PWD/release.key"`, "../..")
	sh.Dir = dir
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sh.Args[3] = root
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(read("release.pub"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(string(read("SHA256SUMS.sig")))
	if err != nil {
		t.Fatal(err)
	}
	if err = verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(sums)); err != nil {
		t.Error(err)
	}
	if err = verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader([]byte("others"))); err == nil {
		t.Error("it verifies everything")
	}
}
