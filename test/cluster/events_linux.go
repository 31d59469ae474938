package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// event is something that happens to a node while others ask a Service all the time, and how long nobody may get an answer.
type event struct {
	name  string
	limit time.Duration
	make  func(ctx context.Context, c *cluster) error
	// There, if not 0, is the limit of whoever asks on the node, or the node itself, where that is away for a while.
	there time.Duration
}

// events happen to the first node, if they name no other. Those that restart a daemon do so without a warning.
func events(cell cell) []event {
	list := []event{
		{name: "containerd is killed, and starts again", limit: time.Second, make: restart("containerd", "containerd")},
		{name: "the kubelet is killed, and starts again", limit: time.Second, make: func(ctx context.Context, c *cluster) error {
			w := c.workers[0]
			if err := w.signal(ctx, "KILL", "kubelet"); err != nil {
				return err
			}
			return w.startKubelet(ctx)
		}},
		{name: "kube-proxy is killed, and starts again", limit: 2 * time.Second,
			make: restart("kube-proxy", "kube-proxy", "--config=/etc/kubernetes/proxy.yaml", "--hostname-override=node1")},
		{name: "the plugins are upgraded, and go back", limit: 2 * time.Second, make: func(ctx context.Context, c *cluster) error {
			if err := c.workers[0].upgrade(ctx); err != nil {
				return err
			}
			_, err := c.workers[0].run(ctx, "sh", "/opt/cluster/v2.0.2/install-cni-plugin.sh", "--rollback")
			return err
		}},
		{name: "somebody deletes the plugins' rules", limit: 3 * time.Second, make: func(ctx context.Context, c *cluster) error {
			_, err := c.workers[0].run(ctx, "sh", "-c", "nft list tables | grep azure-vnet | while read -r t; do nft delete $t; done")
			return err
		}},
	}
	if cell.mode != "transparent" {
		list = append(list, event{name: "somebody deletes the bridge", limit: 5 * time.Second, make: func(ctx context.Context, c *cluster) error {
			_, err := c.workers[0].run(ctx, "sh", "-c", `ip link del "$(ip -o link show type bridge | sed "s/^[0-9]*: //; s/:.*//")"`)
			return err
		}})
	}
	return append(list,
		event{name: "systemd-networkd restarts", limit: 2 * time.Second,
			make: func(ctx context.Context, c *cluster) error { return c.workers[0].remanage(ctx) }},
		event{name: "NetworkManager restarts, on the other node", limit: 2 * time.Second,
			make: func(ctx context.Context, c *cluster) error { return c.workers[1].remanage(ctx) }},
		event{name: "100 pods come and go on the node", limit: 4 * time.Second, make: churn},
		event{name: "the disk is full while 40 pods come and go", limit: 4 * time.Second, make: fullDisk},
		event{name: "the node is drained, upgraded, and used again", limit: 2 * time.Second, make: drain},
		event{name: "the node is switched off and on", limit: 5 * time.Second, there: time.Minute,
			make: func(ctx context.Context, c *cluster) error {
				return c.workers[0].reboot(ctx, func(context.Context) error { return nil })
			}},
		event{name: "the same, and its /run is on the disk", limit: 5 * time.Second, there: time.Minute, make: rebootWithState},
	)
}

// signal ends a daemon and waits until its process is gone.
func (m *machine) signal(ctx context.Context, signal, daemon string) error {
	_, err := m.run(ctx, "sh", "-c", "p=$(cat /run/"+daemon+".pid) && kill -"+signal+" $p && while [ -d /proc/$p ]; do sleep 0.01; done")
	return err
}

func restart(daemon string, args ...string) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		if err := c.workers[0].signal(ctx, "KILL", daemon); err != nil {
			return err
		}
		return c.workers[0].start(ctx, daemon, args...)
	}
}

// upgrade installs the next release.
func (w *worker) upgrade(ctx context.Context) error {
	_, err := w.run(ctx, "sh", "/opt/cluster/v2.0.2/install-cni-plugin.sh", "--from", "/opt/cluster/v2.0.2")
	return err
}

// drain moves the node's pods away, upgrades the plugins, and lets pods come again.
func drain(ctx context.Context, c *cluster) error {
	w := c.workers[0]
	if _, err := c.control.kubectl(ctx, "", "drain", w.name, "--ignore-daemonsets", "--timeout=120s"); err != nil {
		return err
	}
	if err := w.upgrade(ctx); err != nil {
		return err
	}
	if _, err := c.control.kubectl(ctx, "", "uncordon", w.name); err != nil {
		return err
	}
	for _, what := range []string{"deployment/server", "-n=kube-system deployment/coredns"} {
		if _, err := c.control.kubectl(ctx, "", append([]string{"rollout", "status", "--timeout=120s"}, strings.Fields(what)...)...); err != nil {
			return err
		}
	}
	return nil
}

// rebootWithState reboots a node whose plugins have their state where it outlasts a boot. Of that they must believe nothing, even before
// the runtime tells them that its containers are gone.
func rebootWithState(ctx context.Context, c *cluster) error {
	w := c.workers[0]
	if _, err := w.run(ctx, "sh", "-c", "mkdir -p /var/kept && cp -a /run/azure-vnet*.json* /var/kept/"); err != nil {
		return err
	}
	if err := w.remember(ctx, true); err != nil {
		return err
	}
	return w.reboot(ctx, func(ctx context.Context) error {
		if _, err := w.run(ctx, "cp", "-a", "/var/kept/.", "/run/"); err != nil {
			return err
		}
		return w.remember(ctx, false)
	})
}

// remember requires that both plugins know of a container, or that neither does.
func (w *worker) remember(ctx context.Context, want bool) error {
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		out, err := w.run(ctx, "/opt/cni/bin/"+plugin, "show", "-o", "json")
		if err == nil && strings.Contains(out, `"containerID"`) != want {
			err = fmt.Errorf("%s of %s knows of a container: %t, and should: %t: %s", plugin, w.name, !want, want, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// churn fills the node with pods and empties it again.
func churn(ctx context.Context, c *cluster) error {
	for _, replicas := range []int{100, 0} {
		if err := c.scale(ctx, replicas); err != nil {
			return err
		}
		if err := c.scaled(ctx, replicas); err != nil {
			return err
		}
	}
	return nil
}

// scale asks for so many pods on the node, and scaled waits for them.
func (c *cluster) scale(ctx context.Context, replicas int) error {
	_, err := c.control.kubectl(ctx, "", "scale", "deployment/churn", fmt.Sprintf("--replicas=%d", replicas))
	return err
}

func (c *cluster) scaled(ctx context.Context, replicas int) error {
	return until(ctx, fmt.Sprintf("%d pods", replicas), func(ctx context.Context) error {
		out, err := c.control.kubectl(ctx, "", "get", "pods", "-l", "app=churn", "-o",
			`jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}`)
		if err == nil && (strings.Count(out, "True") != replicas || replicas == 0 && out != "") {
			err = fmt.Errorf("ready: %q", out)
		}
		return err
	})
}

// fullDisk lets pods come to the node, and go from it, while there is no room for what containerd and the plugins write of them in /run;
// then there is some again.
func fullDisk(ctx context.Context, c *cluster) error {
	w := c.workers[0]
	for _, when := range []struct{ replicas, room int }{{40, 400}, {0, 0}} {
		if err := w.fill(ctx, when.room); err != nil {
			return err
		}
		if err := c.scale(ctx, when.replicas); err != nil {
			return err
		}
		if err := w.suffers(ctx); err != nil {
			return err
		}
		if _, err := w.run(ctx, "mount", "-o", "remount,size=50%", "/run"); err != nil {
			return err
		}
		if err := c.scaled(ctx, when.replicas); err != nil {
			return err
		}
	}
	return nil
}

// shrink leaves so many KiB of the file system of the plugins' state.
const shrink = `mount -o remount,size=$(($(df --output=used -k /run | tail -n 1) + $0))k /run`

// fill leaves as much. The plugins' log begins anew.
func (w *worker) fill(ctx context.Context, room int) error {
	_, err := w.run(ctx, "sh", "-c", ": >/var/log/azure-vnet.log; "+shrink, strconv.Itoa(room))
	return err
}

// suffers waits until the plugins have met the full disk. What others give back meanwhile nobody has.
func (w *worker) suffers(ctx context.Context) error {
	return until(ctx, "a plugin that finds no room", func(ctx context.Context) error {
		_, _ = w.run(ctx, "sh", "-c", shrink, "0") // fails if more is in use by now
		_, err := w.run(ctx, "grep", "-q", "no space left on device", "/var/log/azure-vnet.log")
		return err
	})
}
