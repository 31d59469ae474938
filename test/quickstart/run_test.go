package quickstart

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is the commands of a step of the quickstart, its blocks one after the other.
func step(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/quickstart-kubeadm.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "\n## "+name+"\n")
	if !found {
		t.Fatalf("the quickstart has no step %q", name)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	commands := ""
	for _, m := range fence.FindAllStringSubmatch(part, -1) {
		if m[1] == "bash" {
			commands += m[2]
		}
	}
	return commands
}

// until is the commands up to that one, which is among them.
func until(t *testing.T, commands, last string) string {
	t.Helper()
	before, _, found := strings.Cut(commands, last+"\n")
	if !found {
		t.Fatalf("%q is not among\n%s", last, commands)
	}
	return before + last + "\n"
}

// stand makes a folder with programs that stand in for others: scripts, by their names.
func stand(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shellIn runs commands in a folder, in a network namespace with an interface of that address and the way to a gateway; programs of bin are
// found first.
func shellIn(t *testing.T, dir, bin, commands string, env ...string) string {
	t.Helper()
	const network = `ip link add eth0 type veth peer name peer && ip link set peer up && ip addr add 10.240.0.4/16 dev eth0 && ip link set eth0 up && ip route add default via 10.240.0.1 && `
	cmd := exec.Command("unshare", "--map-root-user", "--net", "sh", "-c", network+`PATH="$0:$PATH" && set -e && eval "$1"`, bin, commands)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "LC_ALL=C"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// kubeadmProgram is kubeadm of the release that the quickstart installs.
func kubeadmProgram(t *testing.T) string {
	t.Helper()
	const version = "v1.34.4" // of k8s.io/kubernetes in go.mod
	program := filepath.Join(t.TempDir(), "kubeadm")
	const pkg = "k8s.io/component-base/version."
	build := exec.Command("go", "build", "-ldflags", "-X "+pkg+"gitVersion="+version+" -X "+pkg+"gitMajor=1 -X "+pkg+"gitMinor=34", "-o",
		program, "k8s.io/kubernetes/cmd/kubeadm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// copyExample puts a file of examples/kubeadm into a folder, with what a person writes into it.
func copyExample(t *testing.T, name, dir string, written ...string) {
	t.Helper()
	text, err := os.ReadFile(examples + "kubeadm/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(written...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The commands of steps 4 and 5, word for word, up to kubeadm itself, which is the real one and makes everything but a cluster: the control
// plane and its kubelet get what the plugins need, and the files have nothing that kubeadm does not know.
func TestKubeadmTakesTheFiles(t *testing.T) {
	t.Parallel()
	dir, made, kubeadm := t.TempDir(), t.TempDir(), kubeadmProgram(t)
	// CoreDNS is looked for in a cluster that is not there, and waited for.
	bin := stand(t, map[string]string{
		"hostname": `[ "$*" = -I ] && echo "10.240.0.4 10.240.1.1 "`,
		"kubeadm": kubeadm + ` config validate --config "$3" || exit 1
[ "$1" = join ] || exec ` + kubeadm + ` "$@" --dry-run --ignore-preflight-errors=all --skip-phases=addon/coredns`,
	})
	copyExample(t, "init.yaml", dir)
	said := shellIn(t, dir, bin, until(t, step(t, "4. The control plane"), "kubeadm init --config init.yaml"), "KUBEADM_INIT_DRYRUN_DIR="+made)
	for _, want := range []string{"Your Kubernetes control-plane has initialized successfully!", "interfaceNamePrefix: azv\n",
		"detectLocalMode: InterfaceNamePrefix\n", `clusterCIDR: ""`} {
		if !strings.Contains(said, want) {
			t.Errorf("kubeadm does not say %q:\n%s", want, said)
		}
	}
	for file, wants := range map[string][]string{
		"kube-controller-manager.yaml": {"--allocate-node-cidrs=false", "--configure-cloud-routes=false"},
		"kube-apiserver.yaml":          {"--service-cluster-ip-range=10.0.0.0/16", "--advertise-address=10.240.0.4"},
		"kubeadm-flags.env":            {"--cloud-provider=external", "--node-ip=10.240.0.4"},
		"config.yaml":                  {"maxPods: 30"},
	} {
		text, err := os.ReadFile(filepath.Join(made, file))
		if err != nil {
			t.Error(err)
		}
		for _, want := range wants {
			if !regexp.MustCompile(`(?m)`+regexp.QuoteMeta(want)+`("|$)`).Match(text) && !strings.Contains(string(text), want+" ") {
				t.Errorf("%s has no %s:\n%s", file, want, text)
			}
		}
		if strings.Contains(string(text), "--cluster-cidr") {
			t.Errorf("%s has a range for pods:\n%s", file, text)
		}
	}
	copyExample(t, "join.yaml", dir, "CONTROL_PLANE", "10.240.0.4", "HASH", strings.Repeat("0", 64))
	_, join, _ := strings.Cut(step(t, "5. The workers"), "kubeadm token create --print-join-command\n")
	if said := shellIn(t, dir, bin, until(t, join, "kubeadm join --config join.yaml")); !strings.Contains(said, "ok\n") {
		t.Errorf("kubeadm says of join.yaml: %s", said)
	}
}
