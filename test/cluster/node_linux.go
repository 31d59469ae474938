package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// worker is a VM with containerd, a kubelet, kube-proxy and the plugins.
type worker struct {
	*machine
	addrs []netip.Addr // of the node, one of each family
	pods  int          // how many addresses there are for pods
}

// cell is one row of the table: what a cluster is made with.
type cell struct {
	mode   string // of the plugin
	proxy  string // of kube-proxy
	family string // ipv4 or dual
}

func (c cell) String() string { return fmt.Sprintf("%-11s  %-8s  %-4s", c.mode, c.proxy, c.family) }

// configureContainerd does what the quickstart tells a person to do, and then changes what a node needs that is no machine of its own:
// there is no systemd, a negative oom_score_adj is refused where this runs in a container, and so is AppArmor. The image is the tests'.
func (w *worker) configureContainerd(ctx context.Context) error {
	text, err := os.ReadFile(quickstartDoc)
	if err != nil {
		return err
	}
	documented := regexp.MustCompile(`(?m)^containerd config default .*$`).FindString(string(text))
	looks := regexp.MustCompile(`(?m)^grep -E 'bin_dir.*/etc/containerd/config.toml`).FindString(string(text))
	seen, err := w.run(ctx, "sh", "-c", "set -e; mkdir -p /etc/containerd; "+documented+"; "+looks)
	if err != nil || !strings.Contains(seen, `bin_dir = "/opt/cni/bin"`) || !strings.Contains(seen, "SystemdCgroup = true") {
		return fmt.Errorf("%q, of the quickstart, makes a file in which %q finds %s: %w", documented, looks, seen, err)
	}
	_, err = w.run(ctx, "sed", "-i", "-e", "s/SystemdCgroup = true/SystemdCgroup = false/", "-e",
		"s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/",
		"-e", "s/disable_apparmor = false/disable_apparmor = true/", "-e", `s,sandbox_image = .*,sandbox_image = "`+pauseImage+`",`,
		"/etc/containerd/config.toml")
	return err
}

// kubeletConfig: the kubelet may have as many pods as Azure gave the node addresses. The rest is for a node that is no machine of its own.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: %d
clusterDNS: [` + serviceDNS + `]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
enforceNodeAllocatable: [pods]
evictionHard: {memory.available: 1Mi, nodefs.available: 1Mi, imagefs.available: 1Mi, nodefs.inodesFree: 1%%, imagefs.inodesFree: 1%%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
`

// proxyConfig is that of docs/quickstart-kubeadm.md: there is no range by which this node's pods could be recognised, and in transparent
// mode their interfaces are. The number of connections is a setting of the whole machine.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
%sclientConnection: {kubeconfig: ` + configFile + `}
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0}
`

// startWorker makes a VM a node of the cluster.
func startWorker(ctx context.Context, m *machine, c *control, in inputs, cell cell) (*worker, error) {
	nic := m.vm.Config.PrimaryNIC()
	w := &worker{machine: m, addrs: []netip.Addr{nic.Address}, pods: len(nic.Pods)}
	if cell.family == "dual" {
		w.addrs = append(w.addrs, nic.Address6)
	}
	local := ""
	if cell.mode == "transparent" {
		local = "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: azv}\n"
	}
	files := map[string]string{
		configFile:                     c.kubeconfig(),
		"/etc/kubernetes/kubelet.yaml": fmt.Sprintf(kubeletConfig, w.pods),
		"/etc/kubernetes/proxy.yaml":   fmt.Sprintf(proxyConfig, cell.proxy, local),
	}
	maps.Copy(files, w.manager().files(nic))
	for file, text := range files {
		if err := w.write(ctx, file, text); err != nil {
			return nil, err
		}
	}
	if err := w.configureContainerd(ctx); err != nil {
		return nil, err
	}
	if err := w.manage(ctx); err != nil {
		return nil, err
	}
	if err := w.install(ctx, in, cell); err != nil {
		return nil, err
	}
	if err := w.startContainerd(ctx); err != nil {
		return nil, err
	}
	for _, image := range in.images {
		if _, err := w.run(ctx, "ctr", "-n", "k8s.io", "images", "import", "/opt/cluster/images/"+filepath.Base(image)); err != nil {
			return nil, err
		}
	}
	return w, w.join(ctx)
}

// reboot switches the node off and on, and starts what a node starts at its boot; early is called before the runtime.
func (w *worker) reboot(ctx context.Context, early func(context.Context) error) error {
	for _, step := range []func(context.Context) error{w.reset, w.manage, early, w.startContainerd, w.join} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) startContainerd(ctx context.Context) error {
	if err := w.start(ctx, "containerd", "containerd"); err != nil {
		return err
	}
	return until(ctx, "containerd of "+w.name, func(ctx context.Context) error {
		_, err := w.run(ctx, "ctr", "version")
		return err
	})
}

// unit runs what the installer's unit says as systemd would: again, whenever it ends. It does when the plugins have been upgraded.
const unit = `while :; do $(sed -n s/^ExecStart=//p /etc/systemd/system/azure-vnet-repair.service); sleep 1; done`

// join starts the programs of Kubernetes, and the installer's unit.
func (w *worker) join(ctx context.Context) error {
	return errors.Join(
		w.start(ctx, "azure-vnet-repair", "sh", "-c", unit),
		w.startKubelet(ctx),
		w.start(ctx, "kube-proxy", "kube-proxy", "--config=/etc/kubernetes/proxy.yaml", "--hostname-override="+w.name))
}

// startKubelet starts the kubelet until it stays, as systemd does: it ends when the runtime is not ready to talk to it yet.
func (w *worker) startKubelet(ctx context.Context) error {
	var addrs []string
	for _, a := range w.addrs {
		addrs = append(addrs, a.String())
	}
	return until(ctx, "the kubelet of "+w.name, func(ctx context.Context) error {
		if _, err := w.run(ctx, "sh", "-c", `p=$(cat /run/kubelet.pid) && test -d /proc/$p`); err != nil {
			return errors.Join(err, w.start(ctx, "kubelet", "kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig="+configFile,
				"--hostname-override="+w.name,
				"--node-ip="+strings.Join(addrs, ",")))
		}
		_, err := w.run(ctx, "bash", "-c", "</dev/tcp/127.0.0.1/10248") // where it says that it is well
		return err
	})
}

// enforce starts who enforces network policies: kube-router, with nothing but that. It writes iptables rules for what the host forwards.
func (w *worker) enforce(ctx context.Context, cell cell) error {
	dual := cell.family == "dual"
	if err := w.start(ctx, "kube-router", "kube-router", "--run-firewall=true", "--run-router=false",
		"--run-service-proxy=false", "--kubeconfig="+configFile,
		"--hostname-override="+w.name, "--service-cluster-ip-range="+services(dual), fmt.Sprintf("--enable-ipv6=%t", dual)); err != nil {
		return err
	}
	return until(ctx, "the policies of "+w.name, func(ctx context.Context) error {
		_, err := w.run(ctx, "sh", "-c", "iptables -w -S FORWARD | grep KUBE-ROUTER-FORWARD")
		return err
	})
}

// install puts the plugins onto the node as an operator does: by the installer, from a folder. Where a shipped configuration is not what is
// wanted, the operator's own is there first.
func (w *worker) install(ctx context.Context, in inputs, cell cell) error {
	nic := w.vm.Config.PrimaryNIC()
	if nic.Veth || cell.family == "dual" {
		conf, err := configuration(in.configuration, cell, nic)
		if err != nil {
			return err
		}
		if err := w.write(ctx, "/etc/cni/net.d/10-azure.conflist", conf); err != nil {
			return err
		}
	}
	if _, err := w.run(ctx, "sh", "/opt/cluster/v2.0.1/install-cni-plugin.sh", "--from", "/opt/cluster/v2.0.1",
		"--mode", cell.mode); err != nil {
		return err
	}
	_, err := w.run(ctx, "grep", "-E", `"mode": *"`+cell.mode+`"`, "/etc/cni/net.d/10-azure.conflist")
	return err
}

// configuration is the shipped one with another mode, other families, and a NIC that would not be taken by itself.
func configuration(shipped string, cell cell, nic fabric.NICConfig) (string, error) {
	b, err := os.ReadFile(shipped)
	if err != nil {
		return "", err
	}
	var list struct {
		CNIVersion string           `json:"cniVersion"`
		Name       string           `json:"name"`
		Plugins    []map[string]any `json:"plugins"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return "", fmt.Errorf("%s: %w", shipped, err)
	}
	list.Plugins[0]["mode"] = cell.mode
	if cell.family == "dual" {
		list.Plugins[0]["ipam"] = map[string]any{"type": "azure-vnet-ipam", "families": []string{"ipv4", "ipv6"}}
	}
	if nic.Veth {
		list.Plugins[0]["master"] = nic.Name
	}
	b, err = json.MarshalIndent(list, "", "  ")
	return string(b) + "\n", err
}
