//go:build linux

package runtimes

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// pod is a sandbox with one container.
type pod struct {
	m         *machine
	sandbox   string
	container string
	addr      netip.Addr
}

// sandboxConfig is what a kubelet says of a pod.
func (m *machine) sandboxConfig(name string, annotations map[string]string, ports ...*cri.PortMapping) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "default"}, LogDirectory: filepath.Join(m.Dir, "log", name),
		Annotations: annotations, PortMappings: ports, Linux: &cri.LinuxPodSandboxConfig{CgroupParent: m.cgroup()}}
}

// run makes a pod. It returns its errors, for use in many goroutines.
func (m *machine) run(config *cri.PodSandboxConfig, command ...string) (*pod, error) {
	r, err := m.runtime.RunPodSandbox(m.ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		return nil, fmt.Errorf("run pod %s: %w", config.Metadata.Name, err)
	}
	p := &pod{m: m, sandbox: r.PodSandboxId}
	s, err := m.runtime.PodSandboxStatus(m.ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.sandbox})
	if err != nil {
		return nil, fmt.Errorf("status of pod %s: %w", config.Metadata.Name, err)
	}
	if p.addr, err = netip.ParseAddr(s.Status.GetNetwork().GetIp()); err != nil {
		return nil, fmt.Errorf("address of pod %s: %w", config.Metadata.Name, err)
	}
	if len(command) == 0 {
		return p, nil
	}
	c, err := m.runtime.CreateContainer(m.ctx,
		&cri.CreateContainerRequest{PodSandboxId: p.sandbox, SandboxConfig: config, Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: boxImage}, Command: command, LogPath: "c.log"}})
	if err != nil {
		return nil, fmt.Errorf("create a container of pod %s: %w", config.Metadata.Name, err)
	}
	p.container = c.ContainerId
	_, err = m.runtime.StartContainer(m.ctx, &cri.StartContainerRequest{ContainerId: p.container})
	return p, err
}

// server is a pod whose HTTP server tells its name.
func (m *machine) server(name string, annotations map[string]string, ports ...*cri.PortMapping) *pod {
	m.t.Helper()
	script := "/busybox mkdir -p /www && /busybox echo " + name + " >/www/index.html && exec /busybox httpd -f -p 80 -h /www"
	p, err := m.run(m.sandboxConfig(name, annotations, ports...), "/busybox", "sh", "-c", script)
	m.must(err)
	// Without a probe of readiness a pod may be asked before it listens.
	m.until("the server of "+name, func() bool {
		_, err := p.exec("wget", "-q", "-O", "-", "http://127.0.0.1/")
		return err == nil
	})
	return p
}

// exec runs an applet of busybox in the pod's container.
func (p *pod) exec(args ...string) (string, error) {
	r, err := p.m.runtime.ExecSync(p.m.ctx,
		&cri.ExecSyncRequest{ContainerId: p.container, Cmd: append([]string{"/busybox"}, args...), Timeout: 10})
	if err != nil {
		return "", err
	}
	if r.ExitCode != 0 {
		return "", fmt.Errorf("%s: exit %d: %s%s", strings.Join(args, " "), r.ExitCode, r.Stdout, r.Stderr)
	}
	return string(r.Stdout), nil
}

// end removes the pod as a kubelet does.
func (p *pod) end() error {
	if _, err := p.m.runtime.StopPodSandbox(p.m.ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		return fmt.Errorf("stop %s: %w", p.sandbox, err)
	}
	if _, err := p.m.runtime.RemovePodSandbox(p.m.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		return fmt.Errorf("remove %s: %w", p.sandbox, err)
	}
	return nil
}
