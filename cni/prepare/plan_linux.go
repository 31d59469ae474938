package prepare

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/doctor/networks"
	"github.com/Azure/azure-container-networking/platform"
)

// Node is what the files depend on.
type Node struct {
	Root    string               // of the node's files; "/" but in a container, and in tests
	Bridged bool                 // a network of the node is in bridge or tunnel mode
	NICs    []platform.Interface // any of which may become the master
	Bridge  string               // on which the host's network is already; "" if on none of ours
}

const (
	sysctls     = "/etc/sysctl.d/60-azure-vnet.conf"
	modules     = "/etc/modules-load.d/azure-vnet.conf"
	cloudInit   = "/etc/cloud/cloud.cfg.d/15-azure-vnet.cfg"
	bridgeFile  = "/etc/systemd/network/05-azure-vnet.network"
	foreign     = "/etc/systemd/networkd.conf.d/azure-vnet.conf"
	nmFile      = "/etc/NetworkManager/conf.d/azure-vnet.conf"
	dropIns     = "/etc/systemd/network/*.network.d"
	dropInName  = "azure-vnet.conf"
	forwards    = "net.ipv4.ip_forward = 1\n"
	bridgeCalls = "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n"
)

// plan is what the node needs, in the order in which it is written. The texts for networkd and NetworkManager are those
// of docs/host.md.
func (n Node) plan() []file {
	files := []file{{path: sysctls, body: forwards,
		why: "the host forwards what is for pods, from the boot on; kubeadm asks for it"}}
	if n.Bridged {
		files[0].body += bridgeCalls
		files = append(files, file{path: modules, body: "br_netfilter\n", why: "services need br_netfilter in this mode"})
	}
	if n.has("/etc/cloud") {
		files = append(files, file{path: cloudInit, body: CloudInit,
			why: "cloud-init leaves the NIC's secondary addresses to pods, from the next boot on"})
	}
	if n.Bridged && n.networkd() {
		files = append(files,
			file{path: bridgeFile, body: "[Match]\nName=azure* azv*\n\n[Link]\nUnmanaged=yes\n",
				why: "systemd-networkd leaves the bridge and the pods' interfaces alone"},
			file{path: foreign, body: "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n",
				why: "systemd-networkd removes no routes and rules of others, from its next start on"})
		files = append(files, n.keepMaster()...)
	}
	if n.Bridged && n.has("/etc/NetworkManager") {
		files = append(files, file{path: nmFile,
			body: "[keyfile]\nunmanaged-devices=interface-name:azure*;interface-name:azv*\n",
			why:  "NetworkManager leaves the bridge and the pods' interfaces alone"})
	}
	return files
}

// CloudInit keeps cloud-init from giving the host the addresses that Azure assigned for pods; by default it configures
// all of a NIC (DataSourceAzure.py, BUILTIN_DS_CONFIG).
const CloudInit = `datasource:
  Azure:
    apply_network_config_for_secondary_ips: false
`

// keepMaster is a drop-in for each file by which networkd configures a NIC: it must not take the NIC out of the bridge.
func (n Node) keepMaster() (files []file) {
	for _, nic := range n.NICs {
		name, conf := networks.NetworkdFile(n.Root, nic.Name, nic.MAC.String())
		path := "/etc/systemd/network/" + name + ".d/" + dropInName
		ours := n.has(path)
		if name == "" || name == filepath.Base(bridgeFile) || !ours && (conf.On("KeepMaster") || conf.On("Unmanaged")) ||
			slices.ContainsFunc(files, func(f file) bool { return f.path == path }) {
			continue
		}
		files = append(files, file{path: path, body: "[Network]\nKeepMaster=yes\nKeepConfiguration=yes\n", late: true,
			why: "systemd-networkd leaves " + nic.Name + " in the bridge when it restarts"})
	}
	return files
}

func (n Node) has(path string) bool {
	_, err := os.Stat(filepath.Join(n.Root, path))
	return err == nil
}

// networkd says whether systemd-networkd runs, or will.
func (n Node) networkd() bool {
	_, err := os.Lstat(filepath.Join(n.Root, "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"))
	return err == nil || n.has("/run/systemd/netif/state") || n.has("/etc/netplan")
}

// places are all paths at which a file of ours can be, for whatever mode and NIC, in the order in which they are
// written.
func places(root string) []string {
	all := []string{sysctls, modules, cloudInit, bridgeFile, foreign}
	found, _ := filepath.Glob(filepath.Join(root, dropIns, dropInName)) // fails for a bad pattern only
	for _, path := range found {
		all = append(all, "/"+strings.TrimPrefix(strings.TrimPrefix(path, filepath.Clean(root)), "/"))
	}
	return append(all, nmFile)
}
