package cni_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/pkg/types"
)

func TestParseArgs(t *testing.T) {
	t.Parallel()
	for text, pod := range map[string]string{
		"": "",
		"K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0": "default/web-0",
		"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u;IP=10.0.0.5": "default/web-0",
		"K8S_POD_NAMESPACE=default":                   "",
		"K8S_POD_NAME=web-0":                          "/web-0",
		"IgnoreUnknown=true;NERDCTL_CNI_DHCP=x":       "",
		"SOMETHING_OF_PODMAN=x;K8S_POD_NAME=a":        "/a",
		"K8S_POD_NAME=;K8S_POD_NAMESPACE=default":     "",
		"IgnoreUnknown=0;K8S_POD_NAME=a":              "/a",
		"K8S_POD_NAME=first;K8S_POD_NAME=second":      "/second",
		"k8s_pod_name=lower case is another, unknown": "",
	} {
		if a, err := cni.ParseArgs(text); err != nil || a.Pod() != pod {
			t.Errorf("%q: pod %q, %v; want %q", text, a.Pod(), err, pod)
		}
	}
}

func TestParseArgsRefusesWhatIsMalformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", "K8S_POD_NAME", "A=1;", ";", "A=1;;B=2", "K8S_POD_NAME=a=b", "IgnoreUnknown=perhaps",
		"IgnoreUnknown=0;UNHEARD_OF=1", "CommonArgs=x"} {
		_, err := cni.ParseArgs(text)
		var e *types.Error
		if !errors.As(err, &e) || e.Code != types.ErrInvalidEnvironmentVariables || !strings.HasSuffix(e.Msg, text) {
			t.Errorf("%q: %v, want code 4 that names it", text, err)
		}
	}
}

func FuzzParseArgs(f *testing.F) {
	for _, seed := range []string{"", "A=1", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0", "CommonArgs=1", "=", ";;",
		"IP=10.0.0.1", "IgnoreUnknown=0;A=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := cni.ParseArgs(text)
		var e *types.Error
		if err != nil && (!errors.As(err, &e) || e.Code != types.ErrInvalidEnvironmentVariables) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func TestPrefixesSurviveTheBorderToTheLibraries(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"10.240.0.5/16", "0.0.0.0/0", "10.240.0.5/32", "fd00::5/64", "::/0"} {
		p := netip.MustParsePrefix(text)
		if got := cni.PrefixOf(cni.IPNet(p)); got != p {
			t.Errorf("%s comes back as %s", p, got)
		}
	}
	four := net.IPv4(10, 240, 0, 5) // 16 bytes
	for name, test := range map[string]struct {
		n    net.IPNet
		want string
	}{
		"an IPv4 address of 16 bytes": {net.IPNet{IP: four, Mask: net.CIDRMask(16, 32)}, "10.240.0.5/16"},
		"no address":                  {net.IPNet{Mask: net.CIDRMask(16, 32)}, "invalid Prefix"},
		"no mask":                     {net.IPNet{IP: four}, "invalid Prefix"},
		"a mask of another family":    {net.IPNet{IP: four, Mask: net.CIDRMask(112, 128)}, "invalid Prefix"},
		"a mask with holes":           {net.IPNet{IP: four, Mask: net.IPv4Mask(255, 0, 255, 0)}, "invalid Prefix"},
		"an address of five bytes":    {net.IPNet{IP: net.IP{1, 2, 3, 4, 5}, Mask: net.CIDRMask(16, 32)}, "invalid Prefix"},
	} {
		if got := cni.PrefixOf(test.n); got.String() != test.want {
			t.Errorf("%s is %s, want %s", name, got, test.want)
		}
	}
}

func TestParseAddressAndParsePrefix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"10.0.0.5": "10.0.0.5", "10.0.0.5/16": "10.0.0.5", "::ffff:10.0.0.5": "10.0.0.5",
		"fd00::5/64": "fd00::5", "x": "invalid IP", "": "invalid IP"} {
		if got, err := cni.ParseAddress(text); got.String() != want || (err == nil) != got.IsValid() {
			t.Errorf("address %q is %s, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{"10.1.2.3": "10.1.2.3/32", "10.1.2.3/16": "10.1.0.0/16", "fd00::5": "fd00::5/128",
		"fd00::5/64": "fd00::/64", "x": "invalid Prefix"} {
		if got, err := cni.ParsePrefix(text); got.String() != want || (err == nil) != got.IsValid() {
			t.Errorf("prefix %q is %s, %v; want %s", text, got, err, want)
		}
	}
}
