//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// A bundle has what a report needs, and none of the secrets that are planted: in the configuration, the environment, an
// address of the host agent and so in the log, and in a file that lies beside configurations.
func TestABundleHasAllButSecrets(t *testing.T) {
	const secret = "pl4nted-secret"
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	fields := n.Conf(map[string]any{"kubernetes": map[string]any{"k8s_auth_token": secret}, "registryPassword": secret,
		"ipam": map[string]any{"type": "azure-vnet-ipam", "queryUrl": "http://user:" + secret + "@168.63.129.16/nowhere?sig=" + secret}})
	raw, err := json.Marshal(fields)
	l.must(err)
	conf, file, into := filepath.Join(n.Dir, "10-azure.conf"), filepath.Join(n.Dir, "b.tar.gz"), filepath.Join(n.Dir, "unpacked")
	l.must(os.WriteFile(conf, raw, 0o600))
	l.must(os.Mkdir(into, 0o700))
	l.operator(n, 1, "remedy", "azure-vnet-ipam", "refresh", "--config", conf)
	log, err := os.OpenFile(n.LogFile("azure-vnet"), os.O_APPEND|os.O_WRONLY, 0)
	l.must(err)
	_, err = log.WriteString("time=x level=ERROR msg=failed error=\"ask http://user:" + secret + "@h/: token=" + secret + "\"\n")
	l.must(err)
	l.must(log.Close())
	// What is wrong before a configuration is read is in the default log, which has the same name.
	defaultLog := filepath.Join(n.Dir, "default-log")
	l.must(os.Mkdir(defaultLog, 0o700))
	l.must(os.WriteFile(filepath.Join(defaultLog, "azure-vnet.log"), []byte("of no configuration\n"), 0o600))
	n.Mounts = "mount --bind " + defaultLog + " /var/log"
	cmd := n.Command(l.ctx, filepath.Join(binaries, "azure-vnet"), "bundle", file, "--config", conf)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "AZURE_CLIENT_SECRET=" + secret, "PASSWORD=" + secret}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	l.run(n, "tar -xzf "+file+" -C "+into)
	texts := map[string]string{}
	l.must(filepath.WalkDir(into, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		texts[strings.TrimPrefix(path, into+"/azure-vnet-bundle/")] = string(text)
		return err
	}))
	for name, text := range texts {
		if strings.Contains(text, secret) {
			t.Errorf("%s has the secret", name)
		}
	}
	for name, want := range map[string]string{
		"versions.txt": "azure-vnet ", "doctor.txt": "bridge", "show.json": p.ID, "show-ipam.json": p.IP.String(),
		"log/azure-vnet.log": "msg=done", "log/2-azure-vnet.log": "of no configuration", "configuration/named-10-azure.conf": `"azure"`,
		"host/nft.txt": "chain azure0-from-pod", "host/addr.txt": "10.240.0.4/16", "host/route.txt": "default via", "host/rule.txt": "lookup",
		"host/version.txt": "Linux version", "host/os-release.txt": "ID=",
	} {
		if !strings.Contains(texts[name], want) {
			t.Errorf("%s lacks %q:\n%.600s", name, want, texts[name])
		}
	}
	l.operator(n, 1, "file exists", "azure-vnet", "bundle", file, "--config", conf) // nothing is overwritten
}
