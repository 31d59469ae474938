package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
)

// quickstart executes on the control plane what docs/quickstart-kubeadm.md tells a person to do there by kubectl, word for word, and looks
// for what the page says is to be seen. Nothing of Azure is there but its network: the internet is the fabric's host outside of the VNET.
func (c *cluster) quickstart(ctx context.Context, doc, manifests string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("given up after five minutes"))
	defer cancel()
	lines, err := kubectlLines(doc)
	if err != nil {
		return err
	}
	internet, err := c.fabric.Ns().Listen("tcp", netip.AddrPortFrom(fabric.RemoteHost, 80).String())
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the internet\n") })}
	go func() { _ = server.Serve(internet) }()
	defer func() { _ = server.Close() }()
	if err := c.control.write(ctx, "/etc/kubernetes/admin.conf", c.control.kubeconfig()); err != nil {
		return err
	}
	said := map[string]string{}
	for _, line := range lines {
		out, err := c.control.run(ctx, "sh", "-c", strings.ReplaceAll(line, "http://example.com", "http://"+fabric.RemoteHost.String()))
		if err != nil {
			return fmt.Errorf("the quickstart's %q: %w", line, err)
		}
		said[line] = out
	}
	return errors.Join(c.seen(ctx, said), c.accepts(ctx, manifests))
}

// seen compares what commands said with what the page says.
func (c *cluster) seen(ctx context.Context, said map[string]string) error {
	var errs []error
	for command, wants := range map[string][]string{
		"kubectl get nodes -o wide":                                            {"node1", "node2", " Ready "},
		"kubectl get pods -o wide":                                             {"node1", "node2", " Running ", " 10.240."},
		"kubectl exec client -- wget -qO- -T 5 http://web":                     {"NOW: "}, // what agnhost says in place of nginx
		"kubectl exec client -- nslookup kubernetes.default.svc.cluster.local": {"10.0.0.1"},
		"kubectl exec client -- wget -qO- -T 5 http://example.com":             {"the internet"},
		"kubectl get service web":                                              {"LoadBalancer"},
	} {
		out, there := said[command]
		if !there {
			errs = append(errs, fmt.Errorf("the quickstart has no %q any more", command))
		}
		for _, want := range wants {
			if there && !strings.Contains(out, want) {
				errs = append(errs, fmt.Errorf("the quickstart's %q does not show %q: %s", command, want, out))
			}
		}
	}
	// "after a minute or two an EXTERNAL-IP. curl http://EXTERNAL-IP from your own machine shows the page"
	errs = append(errs, until(ctx, "the load balancer of the quickstart", func(ctx context.Context) error {
		ip, err := c.control.kubectl(ctx, "", "get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
		if err != nil {
			return err
		}
		client := http.Client{Timeout: time.Second,
			Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return c.control.vm.Ns.Dial(ctx, network, addr)
			}}}
		defer client.CloseIdleConnections()
		answer, err := client.Get("http://" + ip)
		if err != nil {
			return err
		}
		return answer.Body.Close()
	}))
	_, err := c.control.kubectl(ctx, "", "delete", "service/web", "deployment/web", "pod/client", "--grace-period=1")
	return errors.Join(append(errs, err)...)
}

// accepts lets the API server judge the manifests of the DaemonSet that install the plugins: the base and each overlay.
func (c *cluster) accepts(ctx context.Context, dir string) error {
	overlays, err := filepath.Glob(filepath.Join(dir, "overlays", "*"))
	if err != nil || len(overlays) == 0 {
		return errors.Join(err, fmt.Errorf("%s has no overlays", dir))
	}
	for _, o := range append(overlays, filepath.Join(dir, "base")) {
		text, err := exec.CommandContext(ctx, c.kubectlHere, "kustomize", o).Output()
		if err != nil {
			return fmt.Errorf("kubectl kustomize %s: %w", o, err)
		}
		if _, err := c.control.kubectl(ctx, string(text), "apply", "--dry-run=server", "--validate=strict", "-f", "-"); err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
	}
	return nil
}

var commandBlock = regexp.MustCompile("(?ms)^```bash\n(.*?)^```$")

// kubectlLines are the commands of the steps about the cluster that begin with kubectl, and those that make its configuration.
func kubectlLines(doc string) (lines []string, err error) {
	text, err := os.ReadFile(doc)
	if err != nil {
		return nil, err
	}
	_, rest, found := strings.Cut(string(text), "\n## 4. ")
	steps, _, ends := strings.Cut(rest, "\n## The way out\n")
	if !found || !ends {
		return nil, fmt.Errorf("%s has other steps than this program knows", doc)
	}
	for _, block := range commandBlock.FindAllStringSubmatch(steps, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "kubectl ") ||
				slices.Contains([]string{"mkdir -p ~/.kube", "cp /etc/kubernetes/admin.conf ~/.kube/config"}, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) < 10 {
		return nil, fmt.Errorf("%s has these commands only: %q", doc, lines)
	}
	return lines, nil
}
