package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/store"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
)

// Common is the part of the network configuration that both binaries read. A third party's configuration
// reaches azure-vnet-ipam too, so only what has one meaning everywhere stands here.
type Common struct {
	CNIVersion string `json:"cniVersion"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Master     string `json:"master"`
	LogLevel   string `json:"logLevel"`
	LogFile    string `json:"logFile"`
	DataDir    string `json:"dataDir"`
	IPAM       IPAM   `json:"ipam"`

	// RawAttachments is what GC brings; nil when the key is missing, "null" when it is null.
	RawAttachments json.RawMessage `json:"cni.dev/valid-attachments"`

	Raw []byte `json:"-"` // the bytes that we received, for delegation
}

// IPAM is the "ipam" section.
type IPAM struct {
	Type           string   `json:"type"`
	Environment    string   `json:"environment"`
	Subnet         string   `json:"subnet"`
	IPAddress      string   `json:"ipAddress"`
	QueryInterval  Seconds  `json:"queryInterval"`
	QueryURL       string   `json:"queryUrl"`
	InterfacesFile string   `json:"interfacesFile"`
	Families       []string `json:"families"`
	AddressSpace   string   `json:"addressSpace"`
	StatusWhenFull string   `json:"statusWhenFull"` // ready, the default, or error
}

// NetConf is the network configuration as azure-vnet reads it (docs/cni.md, "Network configuration").
type NetConf struct {
	Common
	Mode              string          `json:"mode"`
	Bridge            string          `json:"bridge"`
	AdapterName       string          `json:"adapterName"`
	MTU               int             `json:"mtu"`
	DNS               types.DNS       `json:"dns"`
	IPsToRouteViaHost []string        `json:"ipsToRouteViaHost"`
	IPMasq            bool            `json:"ipMasq"`
	VnetCIDRs         StringList      `json:"vnetCidrs"`
	AcceptForward     bool            `json:"acceptForward"`
	AllowHostAgent    bool            `json:"allowHostAgent"`
	DisableAntiSpoof  bool            `json:"disableAntiSpoof"`
	MultiTenancy      bool            `json:"multiTenancy"`
	ExecutionMode     string          `json:"executionMode"`
	IPv6Mode          string          `json:"ipv6Mode"`
	RawPrevResult     json.RawMessage `json:"prevResult"`
	EnableExactMatch  bool            `json:"enableExactMatchForPodName"`
	ExecIPAM          bool            `json:"execIPAM"`
	AdditionalArgs    json.RawMessage `json:"AdditionalArgs"`
	WindowsSettings   json.RawMessage `json:"windowsSettings"`
	Args              struct {
		CNI struct {
			MAC string `json:"mac"` // of the pod, that is asked for by the conventions of containernetworking
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig RuntimeConfig `json:"runtimeConfig"`
}

// RuntimeConfig is what the runtime adds for a pod, for the capabilities that the configuration names
// (containernetworking's CONVENTIONS.md). "ips" is for the IPAM plugin, which gets the same bytes.
type RuntimeConfig struct {
	MAC string     `json:"mac"`
	DNS RuntimeDNS `json:"dns"`

	// PortMappings are for us on Windows only; elsewhere they are the portmap plugin's. See NetConf.Ports.
	PortMappings json.RawMessage `json:"portMappings"`
}

// RuntimeDNS has the names of the convention, which are not those of a result.
type RuntimeDNS struct {
	Servers  []string `json:"servers"`
	Searches []string `json:"searches"`
	Options  []string `json:"options"`
}

// PodDNS is what the pod shall use: what the runtime says, else the configuration, else what the IPAM plugin gave.
func (n *NetConf) PodDNS(given types.DNS) types.DNS {
	r := n.RuntimeConfig.DNS
	switch {
	case len(r.Servers)+len(r.Searches)+len(r.Options) > 0:
		return types.DNS{Nameservers: r.Servers, Search: r.Searches, Options: r.Options}
	case !n.DNS.IsEmpty():
		return n.DNS
	}
	return given
}

// PodMAC is the MAC that the runtime wants for the pod; nil leaves it to the plugin. There are three ways to ask
// (CONVENTIONS.md, "mac"), of which the last one counts: MAC in CNI_ARGS, args.cni.mac, and the capability. Errors:
// code 4 for CNI_ARGS, else 7.
func (n *NetConf) PodMAC(args Args) (net.HardwareAddr, error) {
	const group, wanted = 1, "a unicast MAC such as 0a:58:0a:f0:00:05 is expected"
	var found net.HardwareAddr
	for _, way := range []struct{ key, text string }{{"CNI_ARGS", string(args.MAC)}, {"args.cni.mac", n.Args.CNI.MAC},
		{"runtimeConfig.mac", n.RuntimeConfig.MAC}} {
		if way.text == "" {
			continue
		}
		mac, err := net.ParseMAC(way.text)
		switch {
		case err == nil && len(mac) == 6 && mac[0]&group == 0 && !bytes.Equal(mac, make([]byte, 6)):
			found = mac
		case way.key == "CNI_ARGS":
			return nil, types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_ARGS: MAC="+way.text, wanted)
		default:
			return nil, Invalid(way.key, way.text, wanted)
		}
	}
	return found, nil
}

// IPAMConf is the network configuration as azure-vnet-ipam reads it, whoever the caller is. Fields of the
// calling plugin that azure-vnet would know too ("mode", "mtu", "ipMasq" …) may have another meaning there
// and are not looked at.
type IPAMConf struct {
	Common
	// Addresses that are asked for, by the conventions of containernetworking (CONVENTIONS.md, "ips").
	Args struct {
		CNI struct {
			IPs []string `json:"ips"`
		} `json:"cni"`
	} `json:"args"`
	RuntimeConfig struct {
		IPs []string `json:"ips"`
	} `json:"runtimeConfig"`
}

// EnoughForDel says whether a DEL can do without the values that are wrong: it takes away what is there, as far as it
// can (CNI specification, DEL), and only has to know whose, and in which folder the state is.
func (c *Common) EnoughForDel() bool {
	return c.Name != "" && c.IPAM.Type != "" && (c.DataDir == "" || filepath.IsAbs(c.DataDir))
}

// ParseNetConf decodes and validates what azure-vnet gets on standard input. A configuration that could be decoded is
// returned with the error about its values.
// Errors: code 6 for broken JSON, 7 and 2 for values (the message names key and value).
func ParseNetConf(raw []byte) (*NetConf, error) {
	n := &NetConf{}
	if err := decode(raw, n, (*NetConf).usual); err != nil {
		return nil, err
	}
	n.Raw = raw
	return n, n.validate()
}

// ParseIPAMConf decodes and validates what azure-vnet-ipam gets on standard input; errors as ParseNetConf.
func ParseIPAMConf(raw []byte) (*IPAMConf, error) {
	n := &IPAMConf{}
	if err := decode(raw, n, (*IPAMConf).usual); err != nil {
		return nil, err
	}
	n.Raw = raw
	return n, n.Common.validate()
}

func decode[T any](raw []byte, into *T, usual func(v *T, r *store.Reader, name string) bool) error {
	err := unmarshal(raw, into, usual)
	if err == nil {
		return nil
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) && typ.Field != "" {
		key := strings.TrimPrefix(typ.Field, "Common.") // the name of an embedded struct
		wanted := "a " + typ.Type.String()
		if typ.Type.Kind() == reflect.Struct {
			wanted = "an object"
		}
		return Invalid(key, valueAt(raw, key), wanted+" is expected")
	}
	var own *types.Error
	if errors.As(err, &own) {
		return own
	}
	return types.NewError(types.ErrDecodingFailure, "decode the network configuration: "+err.Error(), "")
}

// valueAt is the JSON value of a key such as ipam.subnet, for messages.
func valueAt(raw []byte, key string) string {
	for name := range strings.SplitSeq(key, ".") {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(raw, &object); err != nil {
			break
		}
		for k, v := range object {
			if strings.EqualFold(k, name) { // as encoding/json finds fields
				raw = v
			}
		}
	}
	const enough = 200
	return strings.Join(strings.Fields(string(raw[:min(len(raw), enough)])), " ")
}

// isInterfaceName says whether a name has letters, digits and '_', and behind the first of them '.' and '-': fewer than
// the kernel takes. (A regexp takes longer to compile, at each start, than all names to be looked at.)
func isInterfaceName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', i > 0 && (c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// maxInterfaceName is IFNAMSIZ-1 (include/uapi/linux/if.h).
const maxInterfaceName = 15

func (c *Common) validate() error {
	if utils.ValidateNetworkName(c.Name) != nil || len(c.Name) > 120 {
		return Invalid("name", c.Name, "a network name has letters, digits, '_', '.' and '-', at most 120 of them")
	}
	switch strings.ToLower(c.LogLevel) { // the classic plugin's documents write it "Info"
	case "", "error", "warn", "info", "debug":
	default:
		return Invalid("logLevel", c.LogLevel, "one of error, warn, info, debug")
	}
	for _, f := range []struct{ key, value string }{{"logFile", c.LogFile}, {"dataDir", c.DataDir},
		{"ipam.interfacesFile", c.IPAM.InterfacesFile}} {
		if f.value != "" && !filepath.IsAbs(f.value) && (f.key != "logFile" || f.value != "stderr") {
			return Invalid(f.key, f.value, "an absolute path is expected")
		}
	}
	return c.IPAM.validate()
}

func (i *IPAM) validate() error {
	switch i.Environment {
	case "", azure.EnvironmentAzure, azure.EnvironmentStack:
	default:
		return unsupported("ipam.environment", i.Environment, "one of azure, mas")
	}
	if i.AddressSpace != "" && !strings.EqualFold(i.AddressSpace, "local") {
		return unsupported("ipam.addressSpace", i.AddressSpace, "only local")
	}
	if i.Subnet != "" {
		if _, err := netip.ParsePrefix(i.Subnet); err != nil {
			return Invalid("ipam.subnet", i.Subnet, "a prefix such as 10.240.0.0/16 is expected")
		}
	}
	if i.IPAddress != "" {
		if _, err := ParseAddress(i.IPAddress); err != nil {
			return Invalid("ipam.ipAddress", i.IPAddress, "an address such as 10.240.0.5 is expected")
		}
	}
	if u, err := url.Parse(i.QueryURL); i.QueryURL != "" && (err != nil || u.Scheme != "http" || u.Host == "") {
		return Invalid("ipam.queryUrl", i.QueryURL,
			"the URL of the host agent begins with http:// and has no other encryption than the host's own network")
	}
	for _, f := range i.Families {
		if f != "ipv4" && f != "ipv6" {
			return unsupported("ipam.families", f, "ipv4, ipv6 or both")
		}
	}
	switch i.StatusWhenFull {
	case "", "ready", "error":
	default:
		return Invalid("ipam.statusWhenFull", i.StatusWhenFull, "ready or error")
	}
	return nil
}

func (n *NetConf) validate() error {
	if err := n.Common.validate(); err != nil {
		return err
	}
	if n.IPAM.Type == "" {
		return Invalid("ipam.type", "", "the name of an IPAM plugin is required, azure-vnet-ipam for example")
	}
	if n.IPAM.Type == "azure-vnet" {
		return Invalid("ipam.type", n.IPAM.Type,
			"that is the network plugin, which would call itself again and again: azure-vnet-ipam is meant")
	}
	if _, known := azure.ModeOf(n.Mode); !known {
		return unsupported("mode", n.Mode, "one of tunnel, bridge, transparent")
	}
	if err := n.validateMaster(); err != nil {
		return err
	}
	if n.Bridge != "" && (!isInterfaceName(n.Bridge) || len(n.Bridge) > maxInterfaceName) {
		return Invalid("bridge", n.Bridge, "not an interface name")
	}
	if n.MTU != 0 && (n.MTU < 576 || n.MTU > 65535) {
		return Invalid("mtu", strconv.Itoa(n.MTU), "0 (the master's), or 576 to 65535")
	}
	if _, err := n.PodMAC(Args{}); err != nil {
		return err
	}
	if err := n.validateClassic(); err != nil {
		return err
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"ipsToRouteViaHost", n.IPsToRouteViaHost}, {"vnetCidrs", n.VnetCIDRs}} {
		for _, v := range list.values {
			if _, err := ParsePrefix(v); err != nil {
				return Invalid(list.key, v, "an address or a prefix is expected")
			}
		}
	}
	return nil
}

// validateClassic refuses what the classic plugin does with its fields and this one cannot: without it pods would have
// no network, or not all of it.
func (n *NetConf) validateClassic() error {
	switch {
	case n.MultiTenancy:
		return unsupported("multiTenancy", "true", "multitenancy is not supported by this plugin")
	case n.IPAM.Type == "azure-cns":
		return unsupported("ipam.type", n.IPAM.Type,
			"addresses of Azure's CNS, which AKS uses, are not supported by this plugin: azure-vnet-ipam gives those of the NIC")
	case n.ExecutionMode != "" && n.ExecutionMode != "default":
		return unsupported("executionMode", n.ExecutionMode,
			"it is for addresses of Azure's CNS, which are not supported by this plugin")
	case n.IPv6Mode != "":
		return unsupported("ipv6Mode", n.IPv6Mode,
			"pods have the IPv6 addresses of the NIC (ipam.families) or none; there is no translation")
	}
	return nil
}

// ParseAddress reads an address with or without a prefix length.
func ParseAddress(s string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err
}

// ParsePrefix reads a prefix, or an address as the prefix that holds just it.
func ParsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Attachment is one entry of GC's list of valid attachments.
type Attachment = types.GCAttachment

// ValidAttachments is what GC shall keep. A missing key is an error (code 7): a runtime that forgot it
// must not lose every pod of the node. An empty list or null means that nothing is valid.
func (c *Common) ValidAttachments() ([]Attachment, error) {
	const key = "cni.dev/valid-attachments"
	if c.RawAttachments == nil {
		return nil, Invalid(key, "", "GC needs the list of valid attachments; an empty list says that there are none")
	}
	if bytes.Equal(c.RawAttachments, []byte("null")) {
		return nil, nil
	}
	var list []Attachment
	if err := json.Unmarshal(c.RawAttachments, &list); err != nil {
		return nil, Invalid(key, "", "not a list of attachments: "+err.Error())
	}
	for _, a := range list {
		if a.ContainerID == "" || a.IfName == "" {
			return nil, Invalid(key, string(c.RawAttachments),
				"each attachment has a containerID and an ifname: without, one that lives would go")
		}
	}
	return list, nil
}

// Seconds is a duration that is written as a number of seconds, or as a string of such a number.
type Seconds time.Duration

// UnmarshalJSON accepts 10 and "10".
func (s *Seconds) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "" || text == "null" {
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if inRange := v >= 0 && v <= 1e6; err != nil || !inRange { // NaN is in no range
		return Invalid("ipam.queryInterval", text, "seconds from 0 to 1000000")
	}
	*s = Seconds(v * float64(time.Second))
	return nil
}

// StringList is a list of strings, or one string of comma-separated items.
type StringList []string

// UnmarshalJSON accepts ["a","b"] and "a,b".
func (l *StringList) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err == nil {
		*l = list
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return Invalid("vnetCidrs", string(b), "a list of strings, or one string of comma-separated items, is expected")
	}
	for _, item := range strings.Split(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}
