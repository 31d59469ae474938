//go:build linux

package runtimes

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var plugins, reference, containerd, pause = os.Getenv(
	"AZURE_CNI_BIN"), os.Getenv("REFERENCE_CNI_BIN"), os.Getenv("CONTAINERD"), os.Getenv("PAUSE")

func TestMain(m *testing.M) {
	for name, file := range map[string]string{"AZURE_CNI_BIN": plugins + "/azure-vnet", "REFERENCE_CNI_BIN": reference + "/portmap",
		"CONTAINERD": containerd + "/usr/bin/containerd", "PAUSE": pause} {
		if _, err := os.Stat(file); err != nil {
			fmt.Fprintf(os.Stderr, "test/runtimes: %s is not what it should be (%v); run \"make test-runtimes\"\n", name, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// churned is how many pods come and go, and at how many at once.
const churned, atOnce = 100, 4

// Two nodes with containerd on one fabric, in every mode: what a kubelet asks for, by its protocol.
func TestContainerd(t *testing.T) {
	images := writeImages(t)
	for _, mode := range []string{"bridge", "tunnel", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			f, err := fabric.New(fabric.Default(2, 16))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			t.Cleanup(func() {
				cancel()
				c, err := f.Counters()
				if v := c.Violations(); err != nil || v != (fabric.Counters{}) {
					t.Errorf("the fabric dropped frames that Azure would have dropped: %s (%v)", v, err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
			nodes := []*machine{newMachine(ctx, t, f.VMs[0], mode, images), newMachine(ctx, t, f.VMs[1], mode, images)}
			podsOfContainerd(t, f, nodes, mode == "bridge")
			for _, m := range nodes {
				if left := m.leftovers(); len(left) > 0 {
					t.Errorf("%s: left: %s", m.VM.Config.Name, strings.Join(left, "\n"))
				}
			}
		})
	}
}

func writeImages(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	list := []string{filepath.Join(dir, "pause.tar"), filepath.Join(dir, "busybox.tar")}
	if err := writeImage(list[0], pauseImage, pause, "pause", "/pause"); err != nil {
		t.Fatal(err)
	}
	if err := writeImage(list[1], boxImage, filepath.Join(containerd, "bin/busybox"), "busybox", "/busybox"); err != nil {
		t.Fatal(err)
	}
	return list
}

func podsOfContainerd(t *testing.T, f *fabric.Fabric, nodes []*machine, churn bool) {
	first, second := nodes[0], nodes[1]
	pods := []*pod{
		first.server("a", nil, &cri.PortMapping{Protocol: cri.Protocol_TCP, ContainerPort: 80, HostPort: 8080}),
		first.server("b", map[string]string{"kubernetes.io/ingress-bandwidth": "8M", "kubernetes.io/egress-bandwidth": "8M"}),
		second.server("c", nil),
	}
	reach := func(when string) {
		t.Helper()
		for _, from := range pods {
			for i, to := range pods {
				if out, err := from.exec("wget", "-q", "-O", "-", "http://"+to.addr.String()+"/"); err != nil ||
					strings.TrimSpace(out) != string(rune('a'+i)) {
					t.Errorf("%s: %s → %s: %q %v", when, from.addr, to.addr, out, err)
				}
			}
		}
	}
	reach("at first")
	if got := get(t, f, first.VM.Config.PrimaryNIC().Address, 8080); !strings.Contains(got, "\r\n\r\na") {
		t.Errorf("from the host's port: %q", got)
	}
	if out, err := pods[0].exec("cat", "/proc/sys/net/core/somaxconn"); err != nil || strings.TrimSpace(out) != "517" {
		t.Errorf("tuning: somaxconn is %q, %v", out, err)
	}
	// A limit each way: what comes to the pod at its host veth, what it sends at an interface of its own.
	if q := first.sh("tc qdisc show"); strings.Count(q, "qdisc tbf") != 2 || strings.Count(q, "rate 8Mbit") != 2 {
		t.Errorf("bandwidth: %s", q)
	}
	first.crash()
	first.start()
	reach("after containerd's crash")
	pods = append(pods, first.server("d", nil))
	reach("with a new pod after containerd's crash")
	if churn {
		turnOver(t, nodes)
		reach("after many have come and gone")
	}
	for _, p := range pods {
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
}

// turnOver lets many pods come and go on both nodes.
func turnOver(t *testing.T, nodes []*machine) {
	var all sync.WaitGroup
	for worker := range atOnce {
		m := nodes[worker%len(nodes)]
		all.Go(func() {
			for i := range churned / atOnce {
				p, err := m.run(m.sandboxConfig(fmt.Sprintf("churn-%d-%d", worker, i), nil))
				if err == nil {
					ctx, cancel := context.WithTimeout(m.ctx, 10*time.Second)
					_, err = m.VM.Ns.Ping(ctx, p.addr, fabric.PingOptions{})
					cancel()
				}
				if err == nil {
					err = p.end()
				}
				if err != nil {
					t.Errorf("pod %d of worker %d: %v", i, worker, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// get asks for / by HTTP from outside of the VMs.
func get(t *testing.T, f *fabric.Fabric, addr netip.Addr, port uint16) string {
	t.Helper()
	c, err := f.Ns().Dial(t.Context(), "tcp", netip.AddrPortFrom(addr, port).String())
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	b, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// What of a pod shows on its VM, by what lists it.
var traces = map[string]*regexp.Regexp{
	"ip -o link":       regexp.MustCompile(`azv\S+|bwp\S+`),
	"ip route":         regexp.MustCompile(`.*azv.*`),
	"ip neigh":         regexp.MustCompile(`.*(azv|lladdr 0a:58).*`),
	"bridge fdb":       regexp.MustCompile(`.*(azv|^0a:58).*`),
	"nft list ruleset": regexp.MustCompile(`comment "azure/[^,}]*|chain .*-azv.*|dport 8080.*|chain CNI-DN-.*`),
	"ls /run/netns":    regexp.MustCompile(`.+`),
	"azure-vnet show -o json --data-dir $DIR/run":      regexp.MustCompile(`"containerID".*`),
	"azure-vnet-ipam show -o json --data-dir $DIR/run": regexp.MustCompile(`"containerID".*`),
}

// leftovers lists what there is of pods on a VM that has none.
func (m *machine) leftovers() (found []string) {
	m.t.Helper()
	for command, trace := range traces {
		out := m.sh("DIR=" + m.Dir + " PATH=" + plugins + ":$PATH; " + command)
		for _, line := range trace.FindAllString(out, -1) {
			found = append(found, command+": "+line)
		}
	}
	return found
}
