package charts

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	base  = "../../scripts/kubernetes"
	chart = base + "/chart"
)

// k3s has folders of its own.
const (
	k3sBin  = "/var/lib/rancher/k3s/data/cni"
	k3sConf = "/var/lib/rancher/k3s/agent/etc/cni/net.d"
)

// variants are the overlays, "" is the base, with the values of the chart that mean the same, and how they differ from
// the base.
var variants = map[string]struct {
	values map[string]any
	differ string
}{
	"":           {},
	"bridge":     {map[string]any{"mode": "bridge"}, "install --from /release --node-root /host --mode bridge"},
	"tunnel":     {map[string]any{"mode": "tunnel"}, "install --from /release --node-root /host --mode tunnel"},
	"root-owned": {map[string]any{"dacOverride": false}, "install may do nothing, watch may do nothing"},
	"no-node-setup": {map[string]any{"nodeSetup": false},
		"install --from /release --no-node-setup, install mounts bin conf store units, volumes /opt/cni/bin /etc/cni/net.d " +
			"/var/lib/azure-vnet-cni /etc/systemd/system"},
	"k3s": {map[string]any{"binDir": k3sBin, "confDir": k3sConf},
		"install --from /release --node-root /host --bin-dir " + k3sBin + " --conf-dir " + k3sConf +
			", watch --from /release --watch 60 --no-node-setup --bin-dir " + k3sBin + " --conf-dir " + k3sConf +
			", volumes " + k3sBin + " " + k3sConf + " /var/lib/azure-vnet-cni /etc/systemd/system /etc /run/systemd"},
}

// kustomized renders an overlay, and reads it strictly.
func kustomized(t *testing.T, overlay string) *appsv1.DaemonSet {
	t.Helper()
	dir := base + "/base"
	if overlay != "" {
		dir = path.Join(base, "overlays", overlay)
	}
	found, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := found.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

func decoded(t *testing.T, text []byte) *appsv1.DaemonSet {
	t.Helper()
	d := &appsv1.DaemonSet{}
	if err := yaml.UnmarshalStrict(text, d); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

// helmed renders the chart with values, as helm template does, its schema included.
func helmed(values map[string]any) (map[string]string, error) {
	c, err := loader.Load(chart)
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: "x", Namespace: "kube-system"}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// traits are what the variants differ in.
func traits(d *appsv1.DaemonSet) map[string]string {
	pod := d.Spec.Template.Spec
	found := map[string]string{}
	for _, c := range append(append([]corev1.Container{}, pod.InitContainers...), pod.Containers...) {
		found[c.Name] = strings.Join(c.Args, " ")
		found[c.Name+" may do"] = "nothing"
		if add := c.SecurityContext.Capabilities.Add; len(add) > 0 {
			found[c.Name+" may do"] = fmt.Sprint(add)
		}
		var mounts []string
		for _, m := range c.VolumeMounts {
			mounts = append(mounts, m.Name)
		}
		found[c.Name+" mounts"] = strings.Join(mounts, " ")
	}
	var paths []string
	for _, v := range pod.Volumes {
		paths = append(paths, v.HostPath.Path)
	}
	found["volumes"] = strings.Join(paths, " ")
	return found
}

// Each overlay is rendered by kustomize, read strictly as Kubernetes' API does, and differs from the base in what it is
// for and nothing else; each mount is of a volume, at the folder of that.
func TestOverlaysDifferInWhatTheyAreFor(t *testing.T) {
	entries, err := os.ReadDir(base + "/overlays")
	if err != nil || len(entries) != len(variants)-1 {
		t.Errorf("there are %d overlays (%v), and %d are known", len(entries), err, len(variants)-1)
	}
	plain := traits(kustomized(t, ""))
	for name, v := range variants {
		d := kustomized(t, name)
		var differ []string
		is := traits(d)
		for _, trait := range []string{"install", "install may do", "install mounts", "watch", "watch may do", "watch mounts", "volumes"} {
			if is[trait] != plain[trait] {
				differ = append(differ, trait+" "+is[trait])
			}
		}
		if got := strings.Join(differ, ", "); got != v.differ {
			t.Errorf("%s differs by %q instead of %q", name, got, v.differ)
		}
		paths := map[string]string{}
		for _, volume := range d.Spec.Template.Spec.Volumes {
			paths[volume.Name] = volume.HostPath.Path
		}
		for _, c := range append(d.Spec.Template.Spec.InitContainers, d.Spec.Template.Spec.Containers...) {
			for _, m := range c.VolumeMounts {
				if want := paths[m.Name]; want == "" || strings.TrimPrefix(m.MountPath, "/host") != want {
					t.Errorf("%s: %s mounts %s (%q) at %s", name, c.Name, m.Name, want, m.MountPath)
				}
			}
		}
	}
}

// The chart makes the same objects as the overlays, value by value.
func TestTheChartIsTheOverlays(t *testing.T) {
	for name, v := range variants {
		rendered, err := helmed(v.values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, want := decoded(t, []byte(rendered["azure-vnet-cni/templates/daemonset.yaml"])), kustomized(t, name)
		for _, d := range []*appsv1.DaemonSet{got, want} {
			for _, list := range [][]corev1.Container{d.Spec.Template.Spec.InitContainers, d.Spec.Template.Spec.Containers} {
				for i := range list {
					if list[i].ImagePullPolicy == corev1.PullIfNotPresent { // what Kubernetes does with a tag by itself
						list[i].ImagePullPolicy = ""
					}
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("overlay %q and the chart with %v differ:\n%s", name, v.values, diff)
		}
	}
}

// helm lint finds nothing, and the schema refuses what the installer would.
func TestTheChartIsLinted(t *testing.T) {
	for _, m := range lint.RunAll(chart, nil, "kube-system").Messages {
		if m.Severity > support.InfoSev {
			t.Errorf("%s", m)
		}
	}
	for _, values := range []map[string]any{{"mode": "fast"}, {"binDir": "opt"}, {"confDir": "/etc/cni/"}, {"watchSeconds": 0},
		{"nodesetup": false}, {"image": map[string]any{"name": "x"}}} {
		if _, err := helmed(values); err == nil {
			t.Errorf("%v is taken", values)
		}
	}
	if _, err := helmed(map[string]any{"image": map[string]any{"repository": "r", "tag": "v9"},
		"imagePullSecrets": []any{map[string]any{"name": "s"}}, "nodeSelector": map[string]any{"a": "b"}}); err != nil {
		t.Error(err)
	}
}
