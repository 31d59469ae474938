//go:build linux

package e2e

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// The metrics of a node are what happened on it: pods, addresses, commands by their codes, and what a pod tried that it
// must not.
func TestMetrics(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bridge", "transparent"} {
		t.Run(mode, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 2))
			n := l.nodes[0]
			list := l.list(n, map[string]any{"mode": mode})
			p := l.add(n, list)
			l.add(n, list)
			if _, err := n.AddPod(l.ctx, list); err == nil {
				t.Fatal("there are more addresses than the test knows of")
			}
			l.must(p.Del(l.ctx))
			conf, file := l.confFile(n), filepath.Join(n.Dir, "azure-vnet.prom")
			for range 2 { // the second one counts nothing twice
				l.operator(n, 0, "", "azure-vnet", "metrics", "--config", conf, "--textfile", file)
			}
			raw, err := os.ReadFile(file)
			l.must(err)
			text := string(raw)
			for _, want := range []string{
				`azure_vnet_metrics_missing 0`,
				`azure_vnet_pods{network="azure"} 1`,
				`azure_vnet_source_failed 0`,
				`azure_vnet_commands_total{code="0",command="ADD",plugin="azure-vnet"} 2`,
				`azure_vnet_commands_total{code="100",command="ADD",plugin="azure-vnet"} 1`,
				`azure_vnet_commands_total{code="0",command="DEL",plugin="azure-vnet"} 1`,
				`azure_vnet_commands_total{code="0",command="ADD",plugin="azure-vnet-ipam"} 2`,
				`azure_vnet_command_duration_seconds_count{command="ADD",plugin="azure-vnet"} 3`,
				`azure_vnet_pool_used_addresses{interface="eth0",pool="10.240.0.0/16"} 1`,
				`azure_vnet_doctor_findings{level="ok"}`,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// What the fabric never sees is counted, with the reason.
func TestMetricsCountSpoofedFrames(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	n := l.nodes[0]
	p := l.add(n, l.list(n, nil))
	l.must(p.NS.Command(l.ctx, "ip", "addr", "add", "10.240.9.9/32", "dev", "eth0").Run())
	ctx, cancel := context.WithTimeout(l.ctx, time.Second)
	defer cancel()
	spoofed := fabric.PingOptions{Source: netip.MustParseAddr("10.240.9.9")}
	if _, err := p.NS.Ping(ctx, gateway, spoofed); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a spoofed request ends with %v", err)
	}
	r, err := n.Operator(l.ctx, "azure-vnet", "metrics", "--config", l.confFile(n))
	l.must(err)
	m := regexp.MustCompile(`(?m)^azure_vnet_dropped_frames_total\{interface="azure0",reason="(?:IPv4|ARP) from an address or MAC that is not the pod's"\} (\d+)$`).FindAllSubmatch(r.Stdout, -1)
	dropped := 0
	for _, one := range m {
		packets, err := strconv.Atoi(string(one[1]))
		l.must(err)
		dropped += packets
	}
	if len(m) != 2 || dropped == 0 {
		t.Errorf("%d frames in %d rules:\n%s", dropped, len(m), r.Stdout)
	}
}

// Below a real systemd the shipped timer has node_exporter's folder filled, with the rights that its service leaves, as
// soon as that folder is there.
func TestTheTimerWritesMetrics(t *testing.T) {
	l := newLab(t, fabric.Default(1, 4))
	m, _ := l.quiet("bridge", neighbour{})
	if said := m.sh("SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no azure-vnet-metrics.service " +
		"azure-vnet-metrics.timer"); said != "" {
		t.Errorf("systemd-analyze says of the units: %s", said)
	}
	m.sh("systemctl enable --now azure-vnet-metrics.timer && systemctl start azure-vnet-metrics.service")
	if said := m.sh("systemctl show -P ConditionResult azure-vnet-metrics.service"); strings.TrimSpace(said) != "no" {
		t.Errorf("without node_exporter the service runs: %s", said)
	}
	m.sh("mkdir -p /var/lib/prometheus/node-exporter && chown 65534 /var/lib/prometheus/node-exporter && systemctl start " +
		"azure-vnet-metrics.service")
	text := m.sh("cat /var/lib/prometheus/node-exporter/azure-vnet.prom")
	for _, want := range []string{"azure_vnet_metrics_missing 0", `azure_vnet_pods{network="azure"} 2`,
		`azure_vnet_commands_total{code="0",command="ADD",plugin="azure-vnet"} 2`, `azure_vnet_doctor_findings{level="failure"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if said := m.sh("systemctl list-timers --no-legend azure-vnet-metrics.timer"); !strings.Contains(said, "azure-vnet-metrics.service") {
		t.Errorf("the timer does not run: %s", said)
	}
}
