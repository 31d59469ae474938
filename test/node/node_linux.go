package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// Node is a VM with the plugins.
type Node struct {
	VM   *fabric.VM
	Dir  string   // of state, logs and libcni's cache
	Path []string // CNI_PATH

	// Root is a folder that the plugins see as /, with a userland and /proc; Path is inside. "" is the machine's own.
	Root string

	// Mounts is a shell script that prepares the file systems of each plugin process, in a mount namespace
	// of its own; "" leaves them alone.
	Mounts string

	// Ended is told of each plugin process that has ended, if somebody wants to know what it used.
	Ended func(*os.ProcessState)

	pods atomic.Int64
}

// New makes a node. dir is created.
func New(vm *fabric.VM, dir string, path ...string) (*Node, error) {
	for _, d := range []string{dir, filepath.Join(dir, "run"), filepath.Join(dir, "log")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make node %s: %w", vm.Config.Name, err)
		}
	}
	return &Node{VM: vm, Dir: dir, Path: path}, nil
}

// DataDir is where the plugins' state lies.
func (n *Node) DataDir() string { return filepath.Join(n.Dir, "run") }

// LogFile is where a plugin's log lies.
func (n *Node) LogFile(plugin string) string { return filepath.Join(n.Dir, "log", plugin+".log") }

// find is where the node sees a plugin.
func (n *Node) find(plugin string) (string, error) {
	var paths []string
	for _, p := range n.Path {
		paths = append(paths, filepath.Join(n.Root, p))
	}
	path, err := invoke.FindInPath(plugin, paths)
	return strings.TrimPrefix(path, n.Root), err
}

// Conf is a network configuration for the node: the example of the documents with this node's folders.
// Fields overwrite what it has; a nil value removes.
func (n *Node) Conf(fields map[string]any) map[string]any {
	conf := map[string]any{
		"cniVersion": "1.1.0", "name": "azure", "type": "azure-vnet", "master": "eth0", "bridge": "azure0",
		"logLevel": "debug", "dataDir": n.DataDir(), "logFile": n.LogFile("azure-vnet"),
		"ipam": map[string]any{"type": "azure-vnet-ipam", "environment": "azure"},
	}
	for k, v := range fields {
		if v == nil {
			delete(conf, k)
		} else {
			conf[k] = v
		}
	}
	return conf
}

// List wraps plugin configurations into the list that libcni wants.
func List(plugins ...map[string]any) (*libcni.NetworkConfigList, error) {
	stripped := make([]map[string]any, 0, len(plugins))
	for _, p := range plugins {
		c := map[string]any{}
		for k, v := range p {
			if k != "cniVersion" && k != "name" {
				c[k] = v
			}
		}
		stripped = append(stripped, c)
	}
	raw, err := json.Marshal(map[string]any{"cniVersion": plugins[0]["cniVersion"], "name": plugins[0]["name"], "plugins": stripped})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(raw)
}

// Call is one execution of a plugin binary, as a runtime does it.
type Call struct {
	Plugin, Command, ContainerID, NetNS, IfName, Args string
	Conf                                              []byte
	Env                                               []string // further variables, or overrides
}

// Reply is what came back.
type Reply struct {
	Stdout, Stderr []byte
	Exit           int
}

// Exec executes a plugin in the VM. An error means that it could not be executed at all.
func (n *Node) Exec(ctx context.Context, c Call) (Reply, error) {
	env := []string{"CNI_COMMAND=" + c.Command, "CNI_CONTAINERID=" + c.ContainerID, "CNI_NETNS=" + c.NetNS, "CNI_IFNAME=" + c.IfName,
		"CNI_ARGS=" + c.Args, "CNI_PATH=" + strings.Join(n.Path, ":"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	path, err := n.find(c.Plugin)
	if err != nil {
		return Reply{}, err
	}
	return n.run(ctx, path, c.Conf, append(env, c.Env...))
}

func (n *Node) run(ctx context.Context, path string, stdin []byte, env []string, args ...string) (Reply, error) {
	cmd := n.Command(ctx, path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(stdin), &stdout, &stderr, env
	err := cmd.Run()
	if n.Ended != nil && cmd.ProcessState != nil {
		n.Ended(cmd.ProcessState)
	}
	r := Reply{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Exit, err = exit.ExitCode(), nil
	}
	return r, err
}

// DefaultPaths are the Mounts that turn /var/run and /var/log into folders of the node, for configurations
// without dataDir and logFile.
func (n *Node) DefaultPaths() string {
	return fmt.Sprintf("mount --bind %s /var/run && mount --bind %s /var/log", n.DataDir(), filepath.Join(n.Dir, "log"))
}

// Command is a program in the VM, as the node sees it; path is absolute.
func (n *Node) Command(ctx context.Context, path string, args ...string) *fabric.Cmd {
	if n.Mounts == "" {
		cmd := n.VM.Ns.Command(ctx, path, args...)
		if n.Root != "" {
			cmd.SysProcAttr.Chroot, cmd.Dir = n.Root, "/"
		}
		return cmd
	}
	script := "mount --make-rprivate / && " + n.Mounts + ` && exec "$@"`
	cmd := n.VM.Ns.Command(ctx, "/bin/sh", append([]string{"-c", script, "sh", path}, args...)...)
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	return cmd
}

// Operator runs a command for a person and returns its output.
func (n *Node) Operator(ctx context.Context, plugin string, args ...string) (Reply, error) {
	path, err := n.find(plugin)
	if err != nil {
		return Reply{}, err
	}
	return n.run(ctx, path, nil, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CNI_PATH=" + strings.Join(n.Path, ":")}, args...)
}

// CNI is libcni on this node: what containerd and CRI-O use.
func (n *Node) CNI() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir(n.Path, filepath.Join(n.Dir, "cache"), &runtimeExec{n: n})
}

// runtimeExec lets libcni execute plugins in the VM.
type runtimeExec struct {
	version.PluginDecoder
	n *Node
}

var _ invoke.Exec = (*runtimeExec)(nil)

func (e *runtimeExec) FindInPath(plugin string, _ []string) (string, error) {
	return e.n.find(plugin)
}

func (e *runtimeExec) ExecPlugin(ctx context.Context, path string, stdin []byte, env []string) ([]byte, error) {
	r, err := e.n.run(ctx, path, stdin, env)
	if err != nil {
		return nil, err
	}
	if r.Exit == 0 {
		return r.Stdout, nil
	}
	own := &types.Error{}
	if err := json.Unmarshal(r.Stdout, own); err != nil {
		return nil, fmt.Errorf("%s ends with %d, and prints no error that can be read (%w): %q %q", path, r.Exit, err, r.Stdout, r.Stderr)
	}
	return nil, own
}

// Pod is a pod with one attachment.
type Pod struct {
	Node   *Node
	ID     string
	IfName string
	NS     *fabric.Namespace
	List   *libcni.NetworkConfigList
	Ports  []Port // the runtime's port mappings, for a chained portmap
	// Name is the pod's in Kubernetes, in the namespace default; "" is one of its own.
	Name string
	// Capabilities are further arguments of the runtime, by capability.
	Capabilities map[string]any
	Result       *types100.Result
	IP           netip.Addr
}

// Port is one port mapping, as a runtime passes it.
type Port struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// Addr is the pod's address of a family.
func (p *Pod) Addr(v6 bool) netip.Addr {
	for _, ip := range p.Result.IPs {
		if a, _ := netip.AddrFromSlice(ip.Address.IP); a.Unmap().Is6() == v6 {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

func (p *Pod) runtimeConf() *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: p.ID, NetNS: p.NS.Path(), IfName: p.IfName,
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", cmp.Or(p.Name, "pod-"+p.ID[:8])},
			{"K8S_POD_INFRA_CONTAINER_ID", p.ID}}}
	rt.CapabilityArgs = maps.Clone(p.Capabilities)
	if len(p.Ports) > 0 {
		rt.CapabilityArgs = map[string]any{"portMappings": p.Ports}
	}
	return rt
}

// NewPod makes a pod that has no network yet.
func (n *Node) NewPod(list *libcni.NetworkConfigList) (*Pod, error) {
	id := fmt.Sprintf("%08x%056x", n.pods.Add(1), 0xc0ffee)
	ns, err := n.VM.NewPod(id[:8])
	if err != nil {
		return nil, err
	}
	return &Pod{Node: n, ID: id, IfName: "eth0", NS: ns, List: list}, nil
}

// Add connects the pod by libcni.
func (p *Pod) Add(ctx context.Context) error {
	r, err := p.Node.CNI().AddNetworkList(ctx, p.List, p.runtimeConf())
	if err != nil {
		return err
	}
	if p.Result, err = types100.NewResultFromResult(r); err != nil {
		return err
	}
	if len(p.Result.IPs) == 0 {
		return errors.New("the result has no address")
	}
	a, _ := netip.AddrFromSlice(p.Result.IPs[0].Address.IP)
	p.IP = a.Unmap()
	return nil
}

// AddPod makes a pod and connects it.
func (n *Node) AddPod(ctx context.Context, list *libcni.NetworkConfigList) (*Pod, error) {
	p, err := n.NewPod(list)
	if err != nil {
		return nil, err
	}
	if err := p.Add(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("add pod %s on %s: %w", p.ID[:8], n.VM.Config.Name, err), p.NS.Close())
	}
	return p, nil
}

// Del disconnects the pod by libcni.
func (p *Pod) Del(ctx context.Context) error {
	return p.Node.CNI().DelNetworkList(ctx, p.List, p.runtimeConf())
}

// Check asks the plugins whether the pod is still as they made it.
func (p *Pod) Check(ctx context.Context) error {
	return p.Node.CNI().CheckNetworkList(ctx, p.List, p.runtimeConf())
}
