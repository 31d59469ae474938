package cni

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

// What only azure-vnet on Windows reads of a configuration. It is read by ADD, not by ParseNetConf, so that a DEL never
// fails for it.

// Port is one entry of the capability portMappings (containernetworking's CONVENTIONS.md).
type Port struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

// Ports are the pod's host ports. containerd's go-cni writes the keys with capitals, which is the same to
// encoding/json.
// Error: code 7.
func (n *NetConf) Ports() (ports []Port, err error) {
	if n.RuntimeConfig.PortMappings == nil {
		return nil, nil
	}
	if err := json.Unmarshal(n.RuntimeConfig.PortMappings, &ports); err != nil {
		return nil, Invalid("runtimeConfig.portMappings", string(n.RuntimeConfig.PortMappings), err.Error())
	}
	return ports, nil
}

// HNSPolicies are those of AdditionalArgs, by what they are for.
// Error: code 7.
func (n *NetConf) HNSPolicies() (endpoint, network []json.RawMessage, err error) {
	if n.AdditionalArgs == nil {
		return nil, nil, nil
	}
	var args []struct {
		Name  string
		Value json.RawMessage
	}
	if err := json.Unmarshal(n.AdditionalArgs, &args); err != nil {
		return nil, nil, Invalid("AdditionalArgs", string(n.AdditionalArgs),
			"a list of {\"Name\":…,\"Value\":{…}} is expected")
	}
	for _, a := range args {
		switch a.Name {
		case "EndpointPolicy":
			endpoint = append(endpoint, a.Value)
		case "NetworkPolicy":
			network = append(network, a.Value)
		default:
			return nil, nil, Invalid("AdditionalArgs", a.Name, "one of EndpointPolicy, NetworkPolicy")
		}
	}
	return endpoint, network, nil
}

// HNSDNS is what HNS is told of a pod's DNS: what the runtime says if it names servers or suffixes, else the
// configuration's, with the pod's namespace before the first suffix, so that names of its own services are found first.
// Nothing at all leaves it to the IPAM plugin.
// Error: code 7.
func (n *NetConf) HNSDNS(podNamespace string) (types.DNS, error) {
	r := n.RuntimeConfig.DNS
	if len(r.Servers)+len(r.Searches) > 0 {
		return types.DNS{Nameservers: r.Servers, Search: r.Searches, Options: r.Options}, nil
	}
	if (len(n.DNS.Nameservers) > 0) != (len(n.DNS.Search) > 0) {
		b, err := json.Marshal(n.DNS)
		if err != nil {
			return types.DNS{}, err
		}
		return types.DNS{}, Invalid("dns", string(b), "both nameservers and search are needed on Windows, or neither")
	}
	dns := n.DNS
	if len(dns.Search) > 0 && podNamespace != "" {
		dns.Search = slices.Clone(dns.Search)
		dns.Search[0] = podNamespace + "." + dns.Search[0]
	}
	return dns, nil
}

// LoopbackDSR is windowsSettings.enableLoopbackDSR: the node's kube-proxy returns packets directly (DSR), and a pod
// shall reach itself as a service all the same.
// Errors: codes 2 and 7.
func (n *NetConf) LoopbackDSR() (bool, error) {
	settings := map[string]json.RawMessage{}
	if len(n.WindowsSettings) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(n.WindowsSettings, &settings); err != nil {
		return false, Invalid("windowsSettings", string(n.WindowsSettings), "an object is expected")
	}
	enabled := false
	for key, value := range settings {
		switch {
		case strings.EqualFold(key, "hnsTimeoutDurationInSeconds"):
		case strings.EqualFold(key, "enableLoopbackDSR"):
			if err := json.Unmarshal(value, &enabled); err != nil {
				return false, Invalid("windowsSettings."+key, string(value), "true or false is expected")
			}
		default:
			return false, unsupported("windowsSettings."+key, string(value),
				"enableLoopbackDSR and hnsTimeoutDurationInSeconds are known")
		}
	}
	return enabled, nil
}

// HNSTimeout is windowsSettings.hnsTimeoutDurationInSeconds: how long one call of HNS may take. Zero leaves it to us.
// What is no such number is as if it were not there: not even DEL could go on otherwise.
func (n *NetConf) HNSTimeout() time.Duration {
	var settings struct{ HnsTimeoutDurationInSeconds json.Number }
	if json.Unmarshal(n.WindowsSettings, &settings) != nil {
		return 0
	}
	const most = 3600
	seconds, err := strconv.Atoi(settings.HnsTimeoutDurationInSeconds.String())
	if err != nil || seconds < 1 || seconds > most {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
