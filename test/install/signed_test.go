//go:build linux

package install

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// sign puts the sums of a folder of the node, and their signature, beside its files, as "make release KEY=…" does, and
// returns the public key.
func (m *machine) sign(folder string) (publicKey string) {
	m.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.must(err)
	entries, err := os.ReadDir(m.path(folder))
	m.must(err)
	sums := ""
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".sha256" {
			sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(m.read(filepath.Join(folder, e.Name())))), e.Name())
		}
	}
	digest := sha256.Sum256([]byte(sums))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	m.must(err)
	m.write(folder+"/SHA256SUMS", sums)
	m.write(folder+"/SHA256SUMS.sig", base64.StdEncoding.EncodeToString(signature))
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	m.must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
}

// With a key nothing is installed that this key has not signed, whatever the sums beside the archives say.
func TestOnlyWhatIsSignedIsInstalled(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1))
	m.release(older, "/media/old")
	m.release(newer, "/media/forged")
	m.release(older, "/media/unsigned")
	m.release(older, "/media/stranger")
	m.write("/root/release.pub", m.sign("/media/old"))
	for _, f := range []string{"SHA256SUMS", "SHA256SUMS.sig"} {
		m.write("/media/forged/"+f, m.read("/media/old/"+f))
	}
	m.sign("/media/stranger")
	m.repack(older, "/media/changed", map[string]string{"azure-vnet": "#!/bin/sh\necho evil\n"}) // with a sum of its own beside it
	for _, f := range []string{"SHA256SUMS", "SHA256SUMS.sig"} {
		m.write("/media/changed/"+f, m.read("/media/old/"+f))
	}
	files, network := m.files(), m.network()
	m.refuses(2, "--key needs the file of a public key", "--from", "/media/old", "--key", "/nowhere")
	m.refuses(3, "openssl is missing", "--from", "/media/old", "--key", "/root/release.pub")
	m.untouched(files, network)
	m.copy("/usr/bin/openssl", "/usr/bin/openssl", 0o755)
	files = m.files()
	for folder, want := range map[string]string{
		"/media/forged":   "VERSION is not the one that was signed",
		"/media/changed":  "is damaged: its SHA-256 is",
		"/media/unsigned": "has no SHA256SUMS",
		"/media/stranger": "was not signed by /root/release.pub",
	} {
		m.refuses(1, want, "--from", folder, "--key", "/root/release.pub")
	}
	m.refuses(1, "does not have azure-vnet-cni-linux-"+arch+"-"+newer+".tgz", "--from", "/media/forged", "--key", "/root/release.pub", newer)
	m.untouched(files, network)
	m.installs("installed "+older, "--from", "/media/old", "--key", "/root/release.pub")
	m.wantVersion(older)
}
