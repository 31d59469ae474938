package cni

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
)

func windowsConf(t *testing.T, fields string) *NetConf {
	t.Helper()
	n, err := ParseNetConf([]byte(`{"name":"azure","type":"azure-vnet","ipam":{"type":"azure-vnet-ipam"},` + fields + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantInvalid requires code 7 and the key.
func wantInvalid(t *testing.T, err error, key string) {
	t.Helper()
	var own *types.Error
	if !errors.As(err, &own) || own.Code != types.ErrInvalidNetworkConfig || !strings.Contains(own.Msg, key) {
		t.Errorf("%v, want code 7 and %s", err, key)
	}
}

func TestPortsInEitherSpelling(t *testing.T) {
	want := []Port{{8080, 80, "tcp", "10.240.0.4"}}
	for _, text := range []string{
		`{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"10.240.0.4"}`,
		`{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":"10.240.0.4"}`,
	} {
		got, err := windowsConf(t, `"runtimeConfig":{"portMappings":[`+text+`]}`).Ports()
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if got, err := windowsConf(t, `"mtu":0`).Ports(); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	_, err := windowsConf(t, `"runtimeConfig":{"portMappings":[{"hostPort":"eighty"}]}`).Ports()
	wantInvalid(t, err, "portMappings")
}

func TestHNSPoliciesOfAdditionalArgs(t *testing.T) {
	forEndpoint, forNetwork, err := windowsConf(t,
		`"AdditionalArgs":[{"Name":"EndpointPolicy","Value":{"Type":"ROUTE"}},{"Name":"NetworkPolicy","Value":{"Type":"SetPolicy"}}]`).HNSPolicies()
	if err != nil || len(forEndpoint) != 1 || string(forEndpoint[0]) != `{"Type":"ROUTE"}` || len(forNetwork) != 1 ||
		string(forNetwork[0]) != `{"Type":"SetPolicy"}` {
		t.Errorf("%s, %s, %v", forEndpoint, forNetwork, err)
	}
	for _, bad := range []string{`"AdditionalArgs":{"Name":"EndpointPolicy"}`, `"AdditionalArgs":[{"Name":"PodPolicy","Value":{}}]`} {
		_, _, err := windowsConf(t, bad).HNSPolicies()
		wantInvalid(t, err, "AdditionalArgs")
	}
}

func TestDNSOfWindowsPods(t *testing.T) {
	const both = `"dns":{"Nameservers":["10.0.0.10"],"Search":["svc.cluster.local","cluster.local"],"domain":"a","options":["ndots:5"]}`
	for name, c := range map[string]struct {
		conf, namespace string
		want            types.DNS
		fails           bool
	}{
		"the configuration's": {both, "default",
			types.DNS{Nameservers: []string{"10.0.0.10"}, Search: []string{"default.svc.cluster.local", "cluster.local"}, Domain: "a",
				Options: []string{"ndots:5"}}, false},
		"without Kubernetes": {both, "", types.DNS{Nameservers: []string{"10.0.0.10"}, Search: []string{"svc.cluster.local", "cluster.local"},
			Domain: "a", Options: []string{"ndots:5"}}, false},
		"the runtime's": {both + `,"runtimeConfig":{"dns":{"Servers":["10.0.0.11"],"Searches":["a.b"],"Options":["x"]}}`, "default",
			types.DNS{Nameservers: []string{"10.0.0.11"}, Search: []string{"a.b"}, Options: []string{"x"}}, false},
		"the runtime's suffixes": {`"dns":{"search":["x"]},"runtimeConfig":{"dns":{"searches":["a.b"]}}`, "default",
			types.DNS{Search: []string{"a.b"}}, false},
		"the runtime has but options": {both + `,"runtimeConfig":{"dns":{"options":["x"]}}`, "",
			types.DNS{Nameservers: []string{"10.0.0.10"}, Search: []string{"svc.cluster.local", "cluster.local"}, Domain: "a",
				Options: []string{"ndots:5"}}, false},
		"nothing":                       {`"mtu":0`, "default", types.DNS{}, false},
		"servers without suffixes":      {`"dns":{"nameservers":["10.0.0.10"]}`, "default", types.DNS{}, true},
		"suffixes without servers":      {`"dns":{"search":["a.b"]}`, "default", types.DNS{}, true},
		"nothing but an option of ours": {`"dns":{"options":["x"]}`, "default", types.DNS{Options: []string{"x"}}, false},
	} {
		n := windowsConf(t, c.conf)
		got, err := n.HNSDNS(c.namespace)
		if c.fails {
			wantInvalid(t, err, "dns")
			continue
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", name, err, diff)
		}
		if again, _ := n.HNSDNS(c.namespace); !cmp.Equal(got, again) {
			t.Errorf("%s: asked again it is %v", name, again)
		}
	}
}

func TestHNSTimeoutOfTheConfiguration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"windowsSettings":{"hnsTimeoutDurationInSeconds":7}`:   7 * time.Second,
		`"windowsSettings":{"hnsTimeoutDurationInSeconds":"7"}`: 7 * time.Second,
		`"windowsSettings":{"hnsTimeoutDurationInSeconds":0}`:   0, `"windowsSettings":{"hnsTimeoutDurationInSeconds":-1}`: 0,
		`"windowsSettings":{"hnsTimeoutDurationInSeconds":1e9}`: 0,
		`"windowsSettings":{}`: 0, `"windowsSettings":7`: 0, `"mtu":0`: 0,
	} {
		if got := windowsConf(t, text).HNSTimeout(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLoopbackDSROfTheConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		`"mtu":0`: "false", `"windowsSettings":{}`: "false", `"windowsSettings":null`: "false",
		`"windowsSettings":{"enableLoopbackDSR":false}`:                                  "false",
		`"windowsSettings":{"EnableLoopbackDSR":true,"hnsTimeoutDurationInSeconds":120}`: "true",
		`"windowsSettings":{"enableLoopbackDSR":"yes"}`:                                  "code 7: windowsSettings.enableLoopbackDSR",
		`"windowsSettings":7`:                     "code 7: windowsSettings",
		`"windowsSettings":{"enableWinDSR":true}`: "code 2: windowsSettings.enableWinDSR",
	} {
		enabled, err := windowsConf(t, text).LoopbackDSR()
		got := strconv.FormatBool(enabled)
		var e *types.Error
		if errors.As(err, &e) {
			got = fmt.Sprintf("code %d: %s", e.Code, e.Msg)
		}
		code, key, _ := strings.Cut(want, ": ")
		if !strings.HasPrefix(got, code) || !strings.Contains(got, key) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
