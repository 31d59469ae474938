package manifest

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const folder = "../../scripts/kubernetes/"

func daemonSet(t *testing.T) *appsv1.DaemonSet {
	t.Helper()
	text, err := os.ReadFile(folder + "base/azure-vnet-cni.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := &appsv1.DaemonSet{}
	// Strict: a field that the API does not know, or twice, is an error, as with kubectl --validate=strict.
	if err := yaml.UnmarshalStrict(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheManifestIsADaemonSet(t *testing.T) {
	d := daemonSet(t)
	if d.APIVersion != "apps/v1" || d.Kind != "DaemonSet" || d.Namespace != "kube-system" {
		t.Errorf("it is %s %s in %s", d.APIVersion, d.Kind, d.Namespace)
	}
	labels := d.Spec.Template.Labels
	for k, v := range d.Spec.Selector.MatchLabels {
		if labels[k] != v {
			t.Errorf("the selector does not find the pods: %s=%s", k, v)
		}
	}
	pod := d.Spec.Template.Spec
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range containers(d) {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which is no volume", c.Name, m.Name)
			}
		}
	}
	if !slices.ContainsFunc(pod.Tolerations, func(x corev1.Toleration) bool {
		return x.Operator == corev1.TolerationOpExists && x.Key == "" && x.Effect == ""
	}) {
		t.Error("it does not run on a node that is not ready, as each is without network plugin")
	}
	if !pod.HostNetwork {
		t.Error("it waits for the network that it installs")
	}
}

func containers(d *appsv1.DaemonSet) []corev1.Container {
	return append(slices.Clone(d.Spec.Template.Spec.InitContainers), d.Spec.Template.Spec.Containers...)
}

// What a container may do, as a whole: anything more is a decision that somebody has to make here, too.
func TestTheManifestHasTheLeastPrivileges(t *testing.T) {
	d := daemonSet(t)
	pod := d.Spec.Template.Spec
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("it gets a token of the cluster, and needs none")
	}
	if pod.HostPID || pod.HostIPC || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("it has more of the host than its network")
	}
	const want = `{"capabilities":{"add":["DAC_OVERRIDE"],"drop":["ALL"]},"privileged":false,"runAsUser":0,"runAsGroup":0,"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false}`
	all := containers(d)
	if len(all) != 2 {
		t.Errorf("%d containers", len(all))
	}
	for _, c := range all {
		if got, err := json.Marshal(c.SecurityContext); err != nil || string(got) != want {
			t.Errorf("%s: %s (%v)", c.Name, got, err)
		}
	}
	var paths []string
	for _, v := range pod.Volumes {
		paths = append(paths, v.HostPath.Path)
	}
	if got := strings.Join(paths, " "); got != "/opt/cni/bin /etc/cni/net.d /var/lib/azure-vnet-cni /etc/systemd/system /etc /run/systemd" {
		t.Errorf("it writes to %s", got)
	}
	// What goes on all the time sees no more of the node than the plugins' folders.
	for _, m := range pod.Containers[0].VolumeMounts {
		if strings.HasPrefix(m.MountPath, "/host") {
			t.Errorf("watch mounts %s", m.MountPath)
		}
	}
}

// The arguments are tried on a node by test/install, which reads no YAML.
func TestTheManifestsArgumentsAreThoseThatAreTried(t *testing.T) {
	d := daemonSet(t)
	for i, want := range []string{"--from /release --node-root /host", "--from /release --watch 60 --no-node-setup"} {
		if c := containers(d)[i]; strings.Join(c.Args, " ") != want || len(c.Command) > 0 {
			t.Errorf("%s runs %v %v", c.Name, c.Command, c.Args)
		}
	}
	file, err := os.ReadFile(folder + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(file), `ENTRYPOINT ["/bin/sh", "/install-cni-plugin.sh"]`) {
		t.Error("the image does not run the installer")
	}
}
