package quickstart

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	proxy "k8s.io/kube-proxy/config/v1alpha1"
	kubelet "k8s.io/kubelet/config/v1beta1"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	"sigs.k8s.io/yaml"
)

// documents are the parts of a file of YAML, by their kinds, each read strictly by Kubernetes' own type.
func documents(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(examples + file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	for _, part := range bytes.Split(text, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(part, &head); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		types := map[string]any{
			"kubeadm.k8s.io/v1beta4 InitConfiguration":                &kubeadm.InitConfiguration{},
			"kubeadm.k8s.io/v1beta4 ClusterConfiguration":             &kubeadm.ClusterConfiguration{},
			"kubeadm.k8s.io/v1beta4 JoinConfiguration":                &kubeadm.JoinConfiguration{},
			"kubelet.config.k8s.io/v1beta1 KubeletConfiguration":      &kubelet.KubeletConfiguration{},
			"kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration": &proxy.KubeProxyConfiguration{},
		}
		typed := types[head.APIVersion+" "+head.Kind]
		if typed == nil {
			t.Fatalf("%s: %s %s is unknown", file, head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict(part, typed); err != nil {
			t.Errorf("%s: %s: %v", file, head.Kind, err)
		}
		found[head.Kind] = typed
	}
	return found
}

func args(list []kubeadm.Arg) map[string]string {
	m := map[string]string{}
	for _, a := range list {
		m[a.Name] = a.Value
	}
	return m
}

// kubeadm's files are what Kubernetes reads, and say what the plugins need: no ranges for pods, services outside the
// VNET, no more pods than addresses.
func TestKubeadm(t *testing.T) {
	init := documents(t, "kubeadm/init.yaml")
	node := map[string]string{"cloud-provider": "external", "node-ip": "NODE_IP"}
	if diff := cmp.Diff(node, args(init["InitConfiguration"].(*kubeadm.InitConfiguration).NodeRegistration.KubeletExtraArgs)); diff != "" {
		t.Error(diff)
	}
	cluster := init["ClusterConfiguration"].(*kubeadm.ClusterConfiguration)
	if diff := cmp.Diff(map[string]string{"allocate-node-cidrs": "false", "configure-cloud-routes": "false"},
		args(cluster.ControllerManager.ExtraArgs)); diff != "" {
		t.Error(diff)
	}
	services, vnet := netip.MustParsePrefix(cluster.Networking.ServiceSubnet), netip.MustParsePrefix("10.240.0.0/16")
	if cluster.Networking.PodSubnet != "" || services.Overlaps(vnet) {
		t.Errorf("podSubnet %q, serviceSubnet %s, VNET %s", cluster.Networking.PodSubnet, services, vnet)
	}
	tpl, _ := readTemplate(t, "arm/nodes.json")
	var pods struct{ DefaultValue int32 }
	if err := json.Unmarshal(tpl.Parameters["podsPerNode"], &pods); err != nil {
		t.Fatal(err)
	}
	if most := init["KubeletConfiguration"].(*kubelet.KubeletConfiguration).MaxPods; most != pods.DefaultValue-20 {
		t.Errorf("maxPods is %d, and a NIC has %d addresses for pods", most, pods.DefaultValue)
	}
	if p := init["KubeProxyConfiguration"].(*proxy.KubeProxyConfiguration); p.DetectLocalMode != "InterfaceNamePrefix" ||
		p.DetectLocal.InterfaceNamePrefix != "azv" || p.ClusterCIDR != "" {
		t.Errorf("kube-proxy: %+v", p)
	}
	join := documents(t, "kubeadm/join.yaml")["JoinConfiguration"].(*kubeadm.JoinConfiguration)
	if diff := cmp.Diff(node, args(join.NodeRegistration.KubeletExtraArgs)); diff != "" {
		t.Error(diff)
	}
	if join.Discovery.BootstrapToken == nil || len(join.Discovery.BootstrapToken.CACertHashes) != 1 {
		t.Errorf("%+v", join.Discovery)
	}
}

// The files of the cloud provider have keys that its documentation ("Configure Cloud Provider") and its chart
// (version 1.34) have, and the names of what the templates make.
func TestCloudProvider(t *testing.T) {
	text, err := os.ReadFile(examples + "kubeadm/azure.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var conf struct {
		Cloud, TenantID, SubscriptionID, ResourceGroup, Location, VMType, VnetName, SubnetName, SecurityGroupName, LoadBalancerSku string
		UseManagedIdentityExtension, UseInstanceMetadata                                                                           bool
	}
	if err = d.Decode(&conf); err != nil {
		t.Fatal(err)
	}
	_, nodes := readTemplate(t, "arm/nodes.json")
	for _, name := range []string{conf.VnetName, conf.SubnetName, conf.SecurityGroupName} {
		if !strings.Contains(nodes, `"name": "`+name+`"`) {
			t.Errorf("the templates make no %s", name)
		}
	}
	if text, err = os.ReadFile(examples + "kubeadm/cloud-provider.yaml"); err != nil {
		t.Fatal(err)
	}
	var values struct {
		Infra struct {
			ClusterName string `json:"clusterName"`
		} `json:"infra"`
		CloudControllerManager struct {
			AllocateNodeCidrs    string `json:"allocateNodeCidrs"`
			ConfigureCloudRoutes string `json:"configureCloudRoutes"`
			ClusterCIDR          string `json:"clusterCIDR"`
		} `json:"cloudControllerManager"`
	}
	if err = yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	if c := values.CloudControllerManager; c.AllocateNodeCidrs != "false" || c.ConfigureCloudRoutes != "false" || c.ClusterCIDR != "" {
		t.Errorf("%+v", c)
	}
}
