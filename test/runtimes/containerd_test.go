//go:build linux

package runtimes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	pauseImage = "docker.io/local/pause:1"
	boxImage   = "docker.io/local/busybox:1"
)

// machine is a VM with containerd.
type machine struct {
	*node.Node
	t       *testing.T
	ctx     context.Context
	init    *fabric.Cmd // the first process of the VM
	daemon  *fabric.Cmd
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
}

// config is containerd's (man containerd-config.toml). A negative oom_score_adj is refused where this runs in a
// container.
const config = `version = 2
root = "%[1]s/root"
state = "%[1]s/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "%[1]s/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "%[1]s/bin"
  conf_dir = "%[1]s/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`

func newMachine(ctx context.Context, t *testing.T, vm *fabric.VM, mode string, images []string) *machine {
	t.Helper()
	// The path of a socket has 108 bytes at most, so t.TempDir is too long.
	dir, err := os.MkdirTemp("", "cri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	n, err := node.New(vm, dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{Node: n, t: t, ctx: ctx}
	m.layOut(mode)
	m.boot()
	t.Cleanup(m.halt)
	m.start()
	for _, image := range images {
		cmd := exec.CommandContext(ctx, filepath.Join(containerd, "usr/bin/ctr"), "-a", m.socket(), "-n", "k8s.io", "images", "import", image)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("import %s: %v %s", image, err, out)
		}
	}
	for _, name := range []string{pauseImage, boxImage} { // the CRI plugin learns of an import by an event
		m.until("the image "+name, func() bool {
			r, err := m.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
			return err == nil && r.Image != nil
		})
	}
	return m
}

func (m *machine) socket() string { return filepath.Join(m.Dir, "containerd.sock") }

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("%s: %v", m.VM.Config.Name, err)
	}
}

// until waits for something of containerd's.
func (m *machine) until(what string, ready func() bool) {
	m.t.Helper()
	for !ready() {
		select {
		case <-m.ctx.Done():
			m.t.Fatalf("%s: waiting for %s: %v\n%s", m.VM.Config.Name, what, m.ctx.Err(), m.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// layOut writes the folders of plugins and configurations. Behind azure-vnet are the plugins that clusters chain.
func (m *machine) layOut(mode string) {
	m.t.Helper()
	for _, d := range []string{"bin", "net.d"} {
		m.must(os.Mkdir(filepath.Join(m.Dir, d), 0o755))
	}
	for _, dir := range []string{plugins, reference} {
		files, err := filepath.Glob(filepath.Join(dir, "[a-z]*"))
		m.must(err)
		for _, f := range files {
			m.must(os.Symlink(f, filepath.Join(m.Dir, "bin", filepath.Base(f))))
		}
	}
	first := m.Conf(map[string]any{"mode": mode, "logLevel": "info"})
	list := map[string]any{"cniVersion": "1.0.0", "name": "azure", "plugins": []any{first,
		map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
		map[string]any{"type": "bandwidth", "capabilities": map[string]bool{"bandwidth": true}},
		map[string]any{"type": "tuning", "sysctl": map[string]string{"net.core.somaxconn": "517"}}}}
	for _, k := range []string{"cniVersion", "name"} {
		delete(first, k)
	}
	b, err := json.Marshal(list)
	m.must(err)
	m.must(os.WriteFile(filepath.Join(m.Dir, "net.d", "10-azure.conflist"), b, 0o644))
	m.must(os.WriteFile(filepath.Join(m.Dir, "config.toml"), fmt.Appendf(nil, config, m.Dir, pauseImage), 0o644))
}

// boot starts the VM's first process, in namespaces of its own for processes and mounts: with it everything ends that
// containerd has started, whatever becomes of this test. /run is the VM's own, because containerd keeps the pods'
// network namespaces there.
func (m *machine) boot() {
	m.t.Helper()
	m.Mounts = "mount -t tmpfs run /run && mount -t proc proc /proc && echo"
	m.init = m.Command(m.ctx, pause)
	m.init.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	out, err := m.init.StdoutPipe()
	m.must(err)
	m.must(m.init.Start())
	_, err = out.Read(make([]byte, 1)) // the mounts are made
	m.must(err)
}

// halt ends all processes of the VM, and removes what is left of their cgroups.
func (m *machine) halt() {
	m.must(m.init.Process.Kill())
	_ = m.init.Wait() // "killed", when the last process has gone
	trees, err := filepath.Glob("/sys/fs/cgroup/*" + m.cgroup())
	m.must(err)
	for _, tree := range append(trees, "/sys/fs/cgroup"+m.cgroup()) {
		var dirs []string
		_ = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error { // a hierarchy may not have it
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil {
				m.t.Errorf("remove the cgroup %s: %v", dir, err)
			}
		}
	}
}

// cgroup is the folder of the VM's pods in each hierarchy of the machine's.
func (m *machine) cgroup() string { return "/" + filepath.Base(m.Dir) }

// on is a program on the VM: in its namespaces for the network, mounts and processes.
func (m *machine) on(ctx context.Context, args ...string) *fabric.Cmd {
	cmd := m.VM.Ns.Command(ctx, "nsenter", append([]string{"--mount", "--pid", "--target", strconv.Itoa(m.init.Process.Pid)}, args...)...)
	cmd.Env = []string{"PATH=" + strings.Join([]string{filepath.Join(containerd, "usr/bin"), filepath.Join(containerd, "usr/sbin"),
		"/usr/sbin:/usr/bin:/sbin:/bin"}, ":")}
	return cmd
}

// sh runs a script on the VM and returns what it prints.
func (m *machine) sh(script string) string {
	m.t.Helper()
	var stderr bytes.Buffer
	cmd := m.on(m.ctx, "/bin/sh", "-c", script)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s: %s: %v %s", m.VM.Config.Name, script, err, stderr.Bytes())
	}
	return string(out)
}

// start starts containerd, and waits until the CRI plugin and its network are ready.
func (m *machine) start() {
	m.t.Helper()
	log, err := os.OpenFile(filepath.Join(m.Dir, "containerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	m.must(err)
	defer func() { _ = log.Close() }()
	m.daemon = m.on(m.ctx, "/bin/sh", "-c", "echo $$ >"+m.Dir+"/pid; exec containerd --config "+m.Dir+"/config.toml")
	m.daemon.Stdout, m.daemon.Stderr = log, log
	m.must(m.daemon.Start())
	conn, err := grpc.NewClient("unix://"+m.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	m.must(err)
	m.t.Cleanup(func() { _ = conn.Close() })
	m.runtime, m.images = cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)
	m.until("containerd and its network", func() bool {
		r, err := m.runtime.Status(m.ctx, &cri.StatusRequest{}, grpc.WaitForReady(true))
		ready := err == nil
		for _, c := range r.GetStatus().GetConditions() {
			ready = ready && c.Status
		}
		return ready
	})
}

// crash kills containerd, which has no time to tidy up. Its shims stay, and the pods with them.
func (m *machine) crash() {
	m.t.Helper()
	m.sh("kill -9 $(cat " + m.Dir + "/pid)")
	_ = m.daemon.Wait() // "killed"
}

func (m *machine) log() string {
	b, _ := os.ReadFile(filepath.Join(m.Dir, "containerd.log"))
	return string(b[max(0, len(b)-6000):])
}
