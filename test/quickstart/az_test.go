package quickstart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// azOptions are the commands of the Azure CLI that the script and the quickstart use, with options that they have (of its
// reference, learn.microsoft.com/cli/azure).
var azOptions = map[string]string{
	"login":                   "",
	"account show":            "--query --output",
	"group create":            "--resource-group --name --location",
	"group delete":            "--name --yes --no-wait",
	"deployment group create": "--resource-group --template-file --parameters",
	"network nsg create":      "--resource-group --name",
	"network nsg rule create": "--resource-group --nsg-name --name --priority --access --protocol --source-address-prefixes " +
		"--destination-port-ranges",
	"network vnet create":          "--resource-group --name --address-prefixes --subnet-name --subnet-prefixes --network-security-group",
	"network vnet subnet update":   "--resource-group --vnet-name --name --nat-gateway",
	"network public-ip create":     "--resource-group --name --sku --allocation-method",
	"network public-ip show":       "--resource-group --name --query --output",
	"network nat gateway create":   "--resource-group --name --public-ip-addresses",
	"network nic create":           "--resource-group --name --vnet-name --subnet --accelerated-networking --public-ip-address",
	"network nic ip-config create": "--resource-group --nic-name --name --private-ip-address-version",
	"network nic ip-config list":   "--resource-group --nic-name --query --output",
	"vm create":                    "--resource-group --name --nics --image --size --admin-username --ssh-key-values --assign-identity",
	"vm list":                      "--resource-group --query --output",
	"vm show":                      "--resource-group --name --query --output",
	"role assignment create":       "--assignee --role --scope",
	"vmss update-instances":        "--resource-group --name --instance-ids",
	"vmss list-instances":          "--resource-group --name --query --output",
}

// wrongAz says what is wrong with a call of az, "" if nothing.
func wrongAz(words []string) string {
	end := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") })
	if end < 0 {
		end = len(words)
	}
	options, known := azOptions[strings.Join(words[:end], " ")]
	if !known {
		return "there is no command " + strings.Join(words[:end], " ")
	}
	for _, w := range words[end:] {
		if strings.HasPrefix(w, "--") && !slices.Contains(strings.Fields(options), w) {
			return fmt.Sprintf("%s does not take %s", strings.Join(words[:end], " "), w)
		}
	}
	return ""
}

// The script makes what it says, by commands and options that the Azure CLI has; here a stand-in of it notes them.
func TestAzScript(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte("#!/bin/sh\nfor w; do printf '%s\\t' \"$w\"; done >>"+log+"\necho >>"+log+"\n"),
		0o755); err != nil {
		t.Fatal(err)
	}
	script := exec.Command("sh", examples+"az-cli/nodes.sh")
	script.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "HOME=/root", "SSH_FROM=203.0.113.7/32"}
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(calls)) {
		words := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), "\t"), "\t")
		if wrong := wrongAz(words); wrong != "" {
			t.Errorf("az %s: %s", strings.Join(words, " "), wrong)
		}
		if i := slices.Index(words, "--nic-name"); i >= 0 {
			count[words[i+1]]++
		}
		if words[0] == "vm" {
			count["machines"]++
		}
	}
	for what, want := range map[string]int{"machines": 3, "control-plane": 50, "worker1": 50, "worker2": 50} {
		if count[what] != want {
			t.Errorf("%s: %d instead of %d", what, count[what], want)
		}
	}
	without := exec.Command("sh", examples+"az-cli/nodes.sh")
	without.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "HOME=/root"}
	if out, err := without.CombinedOutput(); err == nil || !strings.Contains(string(out), "name the addresses that may use ssh") {
		t.Errorf("without SSH_FROM: %v, %s", err, out)
	}
}
