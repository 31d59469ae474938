package cni_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// conf is the smallest configuration, with other fields: "ipam." leads into that section.
func conf(t testing.TB, fields map[string]any) []byte {
	t.Helper()
	ipam := map[string]any{"type": "azure-vnet-ipam"}
	all := map[string]any{"name": "azure", "type": "azure-vnet", "ipam": ipam}
	for key, value := range fields {
		into := all
		if sub, ok := strings.CutPrefix(key, "ipam."); ok {
			key, into = sub, ipam
		}
		if into[key] = value; value == missing {
			delete(into, key)
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const missing = "(missing)"

func TestEveryFieldOfTheDocumentsIsRead(t *testing.T) {
	t.Parallel()
	raw := []byte(`{
		"cniVersion": "1.1.0", "name": "azure", "type": "azure-vnet", "mode": "transparent", "master": "eth0", "bridge": "azure0",
		"adapterName": "Ethernet 2", "logLevel": "debug", "logFile": "` + root + `/var/log/x.log", "dataDir": "` + root + `/run/x", "mtu": 1400,
		"ipam": {
			"type": "azure-vnet-ipam", "environment": "mas", "subnet": "10.240.0.0/16", "ipAddress": "10.240.0.5", "queryInterval": "2.5",
			"queryUrl": "http://127.0.0.1/x", "interfacesFile": "` + root + `/etc/i.json", "families": ["ipv4", "ipv6"], "addressSpace": "LOCAL"
		},
		"dns": {"nameservers": ["168.63.129.16"], "domain": "d", "search": ["s"], "options": ["o"]},
		"ipsToRouteViaHost": ["169.254.20.10", "10.0.0.0/16"], "ipMasq": true, "vnetCidrs": "10.0.0.0/8, 10.240.0.0/16",
		"acceptForward": true, "allowHostAgent": true, "disableAntiSpoof": true, "multiTenancy": false, "enableExactMatchForPodName": true,
		"AdditionalArgs": [{"Name": "EndpointPolicy"}], "windowsSettings": {"hnsTimeoutDurationInSeconds": 1},
		"prevResult": {"cniVersion": "1.1.0"}, "cni.dev/valid-attachments": [], "capabilities": {"dns": true}, "unheardOf": {"a": 1}
	}`)
	want := cni.NetConf{
		Common: cni.Common{
			CNIVersion: "1.1.0", Name: "azure", Type: "azure-vnet", Master: "eth0", LogLevel: "debug",
			LogFile: root + "/var/log/x.log", DataDir: root + "/run/x",
			IPAM: cni.IPAM{Type: "azure-vnet-ipam", Environment: "mas", Subnet: "10.240.0.0/16", IPAddress: "10.240.0.5",
				QueryInterval: cni.Seconds(2500 * time.Millisecond),
				QueryURL:      "http://127.0.0.1/x", InterfacesFile: root + "/etc/i.json", Families: []string{"ipv4", "ipv6"}, AddressSpace: "LOCAL"},
			RawAttachments: json.RawMessage("[]"), Raw: raw,
		},
		Mode: "transparent", Bridge: "azure0", AdapterName: "Ethernet 2", MTU: 1400,
		DNS:               types.DNS{Nameservers: []string{"168.63.129.16"}, Domain: "d", Search: []string{"s"}, Options: []string{"o"}},
		IPsToRouteViaHost: []string{"169.254.20.10", "10.0.0.0/16"}, IPMasq: true, VnetCIDRs: cni.StringList{"10.0.0.0/8", "10.240.0.0/16"},
		AcceptForward: true, AllowHostAgent: true, DisableAntiSpoof: true, EnableExactMatch: true,
		RawPrevResult: json.RawMessage(`{"cniVersion": "1.1.0"}`), AdditionalArgs: json.RawMessage(`[{"Name": "EndpointPolicy"}]`),
		WindowsSettings: json.RawMessage(`{"hnsTimeoutDurationInSeconds": 1}`),
	}
	got, err := cni.ParseNetConf(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	ipam, err := cni.ParseIPAMConf(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Common, ipam.Common, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("as the IPAM plugin reads it: -want +got\n%s", diff)
	}
}

func TestValuesThatAreAccepted(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]any{
		"the smallest configuration":       nil,
		"every mode: l2-tunnel":            {"mode": "l2-tunnel"},
		"every mode: l2bridge":             {"mode": "l2bridge"},
		"no mode":                          {"mode": ""},
		"a bridge's name of 15 characters": {"bridge": "azure0123456789"},
		"the smallest MTU":                 {"mtu": 576},
		"the largest MTU":                  {"mtu": 65535},
		"no MTU":                           {"mtu": 0},
		"the log on standard error":        {"logFile": "stderr"},
		"an interval of nothing":           {"ipam.queryInterval": 0},
		"an address with its prefix":       {"ipam.ipAddress": "10.240.0.5/16"},
		"an IPv6 address":                  {"ipam.ipAddress": "fd00::5"},
		"one family":                       {"ipam.families": []string{"ipv6"}},
		"no families":                      {"ipam.families": []string{}},
		"null for a list":                  {"ipsToRouteViaHost": nil, "vnetCidrs": nil},
		"an address for a prefix":          {"vnetCidrs": []string{"10.1.2.3"}},
		"another IPAM plugin":              {"ipam.type": "host-local"},
		"multitenancy that is off":         {"multiTenancy": false},
		"what the classic plugin has for nothing": {"executionMode": "default", "ipv6Mode": "", "logTarget": "logfile",
			"enableSnatOnHost": false, "disableHairpinOnHostInterface": true},
		"the log level as Azure writes it":        {"logLevel": "Info"},
		"fields that nobody knows":                {"flannel": true, "ipam.ranges": [][]string{{"x"}}},
		"a name with every kind of character":     {"name": "A0_b.c-d"},
		"an interface with a dot, as VLANs have":  {"master": "eth0.100"},
		"an interface that begins with _":         {"master": "_x-1.2"},
		"policies in whatever form Windows takes": {"AdditionalArgs": map[string]int{"a": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := cni.ParseNetConf(conf(t, fields)); err != nil {
				t.Error(err)
			}
		})
	}
}

type refused struct {
	key   string
	value any
	code  uint
	named string // the value, as the message shows it
}

func TestValuesThatAreRefusedAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range append(refusedHere, []refused{
		{"name", missing, 7, ""}, {"name", "", 7, ""}, {"name", "a b", 7, "a b"}, {"name", "-a", 7, "-a"},
		{"name", "../x", 7, "../x"}, {"name", 5, 7, "5"},
		{"name", strings.Repeat("n", 121), 7, strings.Repeat("n", 121)},
		{"mode", "l3", 2, "l3"}, {"mode", "Tunnel", 2, "Tunnel"}, {"mode", 1, 7, "1"},
		{"master", "../x", 7, "../x"},
		{"bridge", "azure0123456789x", 7, "azure0123456789x"}, {"bridge", "a/b", 7, "a/b"}, {"bridge", ".", 7, "."},
		{"logLevel", "verbose", 7, "verbose"}, {"logFile", "x.log", 7, "x.log"}, {"dataDir", "run", 7, "run"}, {"dataDir", "stderr", 7, "stderr"},
		{"mtu", 575, 7, "575"}, {"mtu", 65536, 7, "65536"}, {"mtu", -1, 7, "-1"}, {"mtu", "1500", 7, `"1500"`}, {"mtu", 1.5, 7, "1.5"},
		{"ipam.type", missing, 7, ""}, {"ipam.type", "", 7, ""},
		{"ipam.environment", "aws", 2, "aws"}, {"ipam.addressSpace", "global", 2, "global"},
		{"ipam.subnet", "10.240.0.0", 7, "10.240.0.0"}, {"ipam.subnet", "x", 7, "x"}, {"ipam.subnet", 7, 7, "7"},
		{"ipam.ipAddress", "10.240.0", 7, "10.240.0"}, {"ipam.ipAddress", "10.240.0.5/99", 7, "10.240.0.5/99"},
		{"ipam.queryUrl", "https://168.63.129.16/x", 7, "https://168.63.129.16/x"}, {"ipam.queryUrl", "file:/etc/x", 7, "file:/etc/x"},
		{"ipam.queryUrl", "http:/x", 7, "http:/x"}, {"args", "x", 7, "\"x\""},
		{"ipam.queryInterval", -1, 7, "-1"}, {"ipam.queryInterval", "soon", 7, "soon"}, {"ipam.queryInterval", 1e9, 7, "1000000000"},
		{"ipam.queryInterval", "NaN", 7, "NaN"}, {"ipam.queryInterval", true, 7, "true"}, {"ipam.queryInterval", []int{1}, 7, "[1]"},
		{"ipam.interfacesFile", "i.json", 7, "i.json"}, {"ipam.interfacesFile", "stderr", 7, "stderr"},
		{"ipam.families", []string{"ipv4", "ipx"}, 2, "ipx"}, {"ipam.families", "ipv4", 7, `"ipv4"`}, {"ipam.families", []int{4}, 7, "[4]"},
		{"ipsToRouteViaHost", []string{"10.0.0.0/16", "x"}, 7, "x"}, {"ipsToRouteViaHost", "10.0.0.1", 7, `"10.0.0.1"`},
		{"vnetCidrs", []string{"10.0.0.0/33"}, 7, "10.0.0.0/33"}, {"vnetCidrs", "10.0.0.0/8,x", 7, "x"}, {"vnetCidrs", 10, 7, "10"},
		{"vnetCidrs", []int{1}, 7, "[1]"},
		{"dns", "168.63.129.16", 7, `"168.63.129.16"`}, {"ipMasq", "yes", 7, `"yes"`}, {"acceptForward", 1, 7, "1"},
		{"allowHostAgent", "true", 7, `"true"`}, {"disableAntiSpoof", "true", 7, `"true"`}, {"multiTenancy", true, 2, "true"},
		{"ipam.type", "azure-cns", 2, "azure-cns"}, {"executionMode", "v4swift", 2, "v4swift"}, {"ipv6Mode", "ipv6nat", 2, "ipv6nat"},
		{"mode", "transparent-vlan", 2, "transparent-vlan"},
	}...) {
		raw := conf(t, map[string]any{test.key: test.value})
		t.Run(string(raw), func(t *testing.T) {
			t.Parallel()
			_, err := cni.ParseNetConf(raw)
			var e *types.Error
			if !errors.As(err, &e) || e.Code != test.code {
				t.Fatalf("error %v, want code %d", err, test.code)
			}
			if named := test.key + "=" + test.named; !strings.HasSuffix(e.Msg, named) {
				t.Errorf("the message is %q, and does not end with %q", e.Msg, named)
			}
			if e.Details == "" {
				t.Error("nothing says what would be right")
			}
		})
	}
}

func TestWhatIsNoConfigurationIsCode6(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "{", "[]", `"x"`, "null x", `{"name":"azure"} {}`, "\x00", `{"name":"azure",}`,
		strings.Repeat("[", 20000)} {
		for parser, parse := range map[string]func([]byte) error{
			"ParseNetConf":  func(b []byte) error { _, err := cni.ParseNetConf(b); return err },
			"ParseIPAMConf": func(b []byte) error { _, err := cni.ParseIPAMConf(b); return err },
		} {
			var e *types.Error
			if err := parse([]byte(raw)); !errors.As(err, &e) || e.Code != types.ErrDecodingFailure {
				t.Errorf("%s of %.20q: %v", parser, raw, err)
			}
		}
	}
}

// The configurations are those of the reference plugins' documentation, with our IPAM plugin in them.
func TestTheIPAMPluginUnderstandsOtherPeoplesConfigurations(t *testing.T) {
	t.Parallel()
	for plugin, raw := range map[string]string{
		"bridge": `{"cniVersion":"0.3.1","name":"mynet","type":"bridge","bridge":"mynet0","isDefaultGateway":true,"forceAddress":false,"ipMasq":true,"hairpinMode":true,
			"vlan":100,"mtu":9216,"promiscMode":false,"preserveDefaultVlan":true,"ipam":{"type":"azure-vnet-ipam","subnet":"10.10.0.0/16"}}`,
		"macvlan":                    `{"name":"mynet","type":"macvlan","master":"eth0","mode":"vepa","linkInContainer":false,"mtu":1500,"ipam":{"type":"azure-vnet-ipam","routes":[{"dst":"0.0.0.0/0"}]}}`,
		"ptp":                        `{"name":"mynet","type":"ptp","ipMasq":true,"mtu":"1500","ipam":{"type":"azure-vnet-ipam","subnet":"10.1.1.0/24"},"dns":{"nameservers":["10.1.1.1"]}}`,
		"ipvlan":                     `{"name":"mynet","type":"ipvlan","master":"eth0","mode":"l3s","ipam":{"type":"azure-vnet-ipam","families":["ipv4"]}}`,
		"other types of known names": `{"name":"mynet","type":"other","mode":7,"bridge":{},"multiTenancy":"maybe","vnetCidrs":3,"dns":[],"ipsToRouteViaHost":true,"ipam":{"type":"azure-vnet-ipam"}}`,
	} {
		t.Run(plugin, func(t *testing.T) {
			t.Parallel()
			got, err := cni.ParseIPAMConf([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != "mynet" || string(got.Raw) != raw || got.IPAM.Type != "azure-vnet-ipam" {
				t.Errorf("it is read as %+v", got)
			}
		})
	}
}

func TestValidAttachments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fields map[string]any
		want   []cni.Attachment
		fails  bool
	}{
		"missing is an error: nobody may lose all pods by an oversight": {fails: true},
		"null means none":  {fields: map[string]any{"cni.dev/valid-attachments": nil}},
		"empty means none": {fields: map[string]any{"cni.dev/valid-attachments": []any{}}},
		"a list": {
			fields: map[string]any{"cni.dev/valid-attachments": []map[string]string{{"containerID": "c1", "ifname": "eth0"},
				{"containerID": "c2", "ifname": "net1"}}},
			want: []cni.Attachment{{ContainerID: "c1", IfName: "eth0"}, {ContainerID: "c2", IfName: "net1"}},
		},
		"no list is an error": {fields: map[string]any{"cni.dev/valid-attachments": map[string]string{"containerID": "c1"}}, fails: true},
		"an attachment without interface is " +
			"an error": {fields: map[string]any{"cni.dev/valid-attachments": []map[string]string{{"containerID": "c1"}}}, fails: true},
		"an empty attachment is an error":  {fields: map[string]any{"cni.dev/valid-attachments": []any{nil}}, fails: true},
		"a list of others is an error":     {fields: map[string]any{"cni.dev/valid-attachments": []string{"c1"}}, fails: true},
		"a text is an error, not a list":   {fields: map[string]any{"cni.dev/valid-attachments": "[]"}, fails: true},
		"a number is an error, not a list": {fields: map[string]any{"cni.dev/valid-attachments": 0}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := cni.ParseNetConf(conf(t, test.fields))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.ValidAttachments()
			var e *types.Error
			if failed := errors.As(err, &e) && e.Code == types.ErrInvalidNetworkConfig && strings.Contains(e.Msg,
				"cni.dev/valid-attachments="); failed != test.fails || err != nil && !failed {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSecondsAndStringListsHaveTwoForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, `"10"`: 10 * time.Second, "0.5": time.Second / 2, `""`: 0,
		"null": 0, "1e3": 1000 * time.Second} {
		var got cni.Seconds
		if err := json.Unmarshal([]byte(text), &got); err != nil || time.Duration(got) != want {
			t.Errorf("%s is read as %v, %v", text, time.Duration(got), err)
		}
	}
	for text, want := range map[string]cni.StringList{`["a","b"]`: {"a", "b"}, `"a,b"`: {"a", "b"}, `" a , ,b,"`: {"a", "b"},
		`""`: nil, "[]": {}, "null": nil} {
		var got cni.StringList
		if err := json.Unmarshal([]byte(text), &got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s is read as %#v, %v", text, got, err)
		}
	}
}

func FuzzParseNetConf(f *testing.F) {
	for _, seed := range []map[string]any{nil, {"mtu": 1500, "mode": "bridge"}, {"ipam.queryInterval": "10", "vnetCidrs": "10.0.0.0/8"},
		{"dns": map[string]any{"search": []string{"x"}}}} {
		f.Add(conf(f, seed))
	}
	f.Add([]byte(`{"name":"azure","ipam":{"type":"x"},"cni.dev/valid-attachments":[{"containerID":"a","ifname":"b"}]}`))
	f.Add([]byte(`{"NAME":"azure","Ipam":{"TYPE":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := cni.ParseNetConf(raw)
		_, ipamErr := cni.ParseIPAMConf(raw)
		for _, e := range []error{err, ipamErr} {
			var own *types.Error
			if e != nil && (!errors.As(e, &own) || own.Code == 0 || own.Code >= 100 || own.Msg == "") {
				t.Errorf("%q gives %v", raw, e)
			}
		}
		if err != nil {
			return
		}
		if ipamErr != nil {
			t.Errorf("%q is good for azure-vnet, and not for azure-vnet-ipam: %v", raw, ipamErr)
		}
		if c.Name == "" || strings.ContainsAny(c.Name+c.Bridge+c.Master, "/ \x00\n;$`") {
			t.Errorf("names %q, %q and %q were let through", c.Name, c.Bridge, c.Master)
		}
		_, _ = c.ValidAttachments()
	})
}
