package operator

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreLeftOut(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-planted"
	for name, c := range map[string]struct{ text, stays string }{
		"a token in JSON":                 {`{"name":"azure","kubernetes":{"k8s_auth_token":"` + secret + `"},"mtu":1500}`, `"mtu": 1500`},
		"a password in a list":            {`{"plugins":[{"type":"x","Password":"` + secret + `"}]}`, `"type": "x"`},
		"an object under such a name":     {`{"credentials":{"a":"` + secret + `"},"b":"c"}`, `"b": "c"`},
		"a key":                           {`{"etcd_key":"` + secret + `","keys":"stay"}`, `"keys": "stay"`},
		"a URL's user":                    {`{"queryUrl":"http://u:` + secret + `@10.0.0.1/x"}`, "http://(left out)@10.0.0.1/x"},
		"a URL's signature":               {`{"queryUrl":"https://x/y?sv=1&sig=` + secret + `&z=2"}`, "&z=2"},
		"a header in a string":            {`{"args":"Authorization: Bearer ` + secret + `"}`, `"args"`},
		"broken JSON":                     {`{"name":"azure","password": "` + secret + `", "mode": "bridge"`, `"mode": "bridge"`},
		"broken JSON, cut in the value":   {`{"name":"azure","token":"` + secret, `azure`},
		"a line of a log":                 {`time=x level=ERROR msg=failed error="ask http://u:` + secret + `@h/: refused" code=11`, "code=11"},
		"an assignment":                   {"export API_KEY=" + secret + " NAME=web", "NAME=web"},
		"JSON within a quoted string":     {`msg="conf {\"clientSecret\": \"` + secret + `\", \"a\": 1}"`, `\"a\": 1`},
		"a web token":                     {"x eyJhbGciOiJIUzI1NiJ9.eyJ" + secret + ".abc y", " y"},
		"a private key":                   {"a\n-----BEGIN RSA PRIVATE KEY-----\n" + secret + "\n-----END RSA PRIVATE KEY-----\nb", "\nb"},
		"nothing":                         {`{"dataDir":"/var/run","master":"eth0"}`, `"master": "eth0"`},
		"a number that stays as it is":    {`{"generation":9007199254740993}`, "9007199254740993"},
		"addresses and names of the node": {"link/ether 00:0d:3a:11:22:33 azv0123456789a containerID=0123", "azv0123456789a containerID=0123"},
	} {
		got := string(redact([]byte(c.text)))
		if strings.Contains(got, secret) || !strings.Contains(got, c.stays) {
			t.Errorf("%s: %s", name, got)
		}
		if json.Valid([]byte(c.text)) && !json.Valid([]byte(got)) {
			t.Errorf("%s: no JSON any more: %s", name, got)
		}
	}
}

// In a log of megabytes each line is looked at as in a short text, and that takes no time.
func TestSecretsOfALongLogAreLeftOut(t *testing.T) {
	t.Parallel()
	plain := strings.Repeat("time=2026-11-28T23:32:37.361Z level=DEBUG msg=step pid=16746 command=ADD step=\"wait for the state's lock\" "+
		"duration=223µs\n", 20000)
	for _, secret := range []string{"error=\"ask http://u:planted@h/\"", "Token: planted", "API_KEY=planted", "Authorization: Basic planted",
		"x eyJwbGFudGVk.planted.planted y", "\"clientPrivateThing\": \"planted\"",
		"accessKey=planted", "a=1&sig=planted", "pwd=planted", "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----"} {
		got := string(redact([]byte(plain + secret + "\n" + plain)))
		if strings.Contains(got, "planted") || !strings.HasPrefix(got, plain) || !strings.HasSuffix(got, plain) {
			t.Errorf("%s: %.300s", secret, got[min(len(plain), len(got)):])
		}
	}
}

// contentsOf unpacks a bundle: texts by name.
func contentsOf(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Clean(h.Name)] = string(text)
	}
}

// What cannot be had says why, in its place.
func TestABundleSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	b := newBundle(&archive, noon)
	b.add("a.txt", []byte("token=x y"), nil)
	b.add("b/c.txt", []byte("half"), errors.New("disk on fire"))
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	files := contentsOf(t, &archive)
	if files["azure-vnet-bundle/a.txt"] != "token=(left out) y" || files["azure-vnet-bundle/b/c.txt"] != "half\n(disk on fire)\n" ||
		len(files) != 2 {
		t.Errorf("%q", files)
	}
}

// Two files of one name are both there when it is unpacked.
func TestABundleHasANameForEachFile(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	b := newBundle(&archive, noon)
	for _, text := range []string{"configured", "default", "third"} {
		log := filepath.Join(t.TempDir(), "azure-vnet.log")
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.log(log)
	}
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"azure-vnet-bundle/log/azure-vnet.log": "configured", "azure-vnet-bundle/log/2-azure-vnet.log": "default",
		"azure-vnet-bundle/log/3-azure-vnet.log": "third"}
	if files := contentsOf(t, &archive); !maps.Equal(files, want) {
		t.Errorf("%q", files)
	}
}

// Programs of the host get nothing of our environment.
func TestToolsDoNotSeeTheEnvironment(t *testing.T) {
	t.Setenv("PLANTED_TOKEN", "planted")
	text, err := output(t.Context(), "env")
	if err != nil {
		t.Skip(err) // Windows has none
	}
	if strings.Contains(string(text), "planted") {
		t.Errorf("env says\n%s", text)
	}
	if _, err := output(t.Context(), "no-such-program"); err == nil {
		t.Error("a program that is not there is no error")
	}
}
