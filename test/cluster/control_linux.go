package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
)

// What an operator tells the control plane and the nodes.
const (
	token      = "cluster-of-a-test" // of the one administrator; nobody else reaches the API server
	configFile = "/etc/kubernetes/admin.kubeconfig"
	serviceDNS = "10.0.0.10"
)

//go:embed dns.yaml
var dnsManifest string

// control is the VM of the control plane. It has no pods, and so no plugins.
type control struct {
	*machine
	addr netip.Addr
	dual bool
}

// startControl starts the control plane and waits until it is ready.
func startControl(ctx context.Context, m *machine, dual bool) (*control, error) {
	c := &control{machine: m, addr: m.vm.Config.PrimaryNIC().Address, dual: dual}
	key, err := serviceAccountKey()
	if err != nil {
		return nil, err
	}
	for file, text := range map[string]string{
		"/etc/kubernetes/sa.key":     key,
		"/etc/kubernetes/tokens.csv": token + `,admin,1,"system:masters"` + "\n",
		configFile:                   c.kubeconfig(),
	} {
		if err := m.write(ctx, file, text); err != nil {
			return nil, err
		}
	}
	// "unsafe" spares the disk that others use, too: this etcd does not outlast its machine.
	if err := m.start(ctx, "etcd", "etcd", "--data-dir=/var/lib/etcd", "--unsafe-no-fsync", "--listen-client-urls=http://127.0.0.1:2379",
		"--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn"); err != nil {
		return nil, err
	}
	if err := m.start(ctx, "kube-apiserver", "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+c.addr.String(),
		"--bind-address=0.0.0.0", "--secure-port=6443", "--cert-dir=/etc/kubernetes/certs",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=/etc/kubernetes/sa.key",
		"--service-account-signing-key-file=/etc/kubernetes/sa.key", "--service-cluster-ip-range="+services(dual),
		"--authorization-mode=Node,RBAC", "--token-auth-file=/etc/kubernetes/tokens.csv", "--allow-privileged=true",
		"--kubelet-preferred-address-types=InternalIP"); err != nil {
		return nil, err
	}
	if err := until(ctx, "the API server", func(ctx context.Context) error {
		_, err := c.kubectl(ctx, "", "get", "--raw=/readyz")
		return err
	}); err != nil {
		return nil, err
	}
	// Azure's network routes to the pods' addresses by itself: no podCIDRs, and nobody who would make routes to them.
	if err := m.start(ctx, "kube-controller-manager", "kube-controller-manager", "--kubeconfig="+configFile, "--leader-elect=false",
		"--allocate-node-cidrs=false", "--service-account-private-key-file=/etc/kubernetes/sa.key",
		"--root-ca-file=/etc/kubernetes/certs/apiserver.crt", "--use-service-account-credentials=true"); err != nil {
		return nil, err
	}
	return c, m.start(ctx, "kube-scheduler", "kube-scheduler", "--kubeconfig="+configFile, "--leader-elect=false")
}

// services are the ranges of the Services' addresses.
func services(dual bool) string {
	if dual {
		return "10.0.0.0/16,fd10::/108"
	}
	return "10.0.0.0/16"
}

func serviceAccountKey() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), nil
}

// kubeconfig is for whoever may do everything.
func (c *control) kubeconfig() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://%s:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, c.addr, token)
}

// kubectl runs kubectl on the control plane's VM.
func (c *control) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := c.command(ctx, append([]string{"kubectl", "--kubeconfig=" + configFile}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// ready waits until the nodes are ready and the cluster's DNS serves.
func (c *control) ready(ctx context.Context, nodes int) error {
	if err := until(ctx, "the nodes", func(ctx context.Context) error {
		out, err := c.kubectl(ctx, "", "get", "nodes", "-o",
			`jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}`)
		if err == nil && strings.Count(out, "True") != nodes {
			err = fmt.Errorf("ready: %q", out)
		}
		return err
	}); err != nil {
		return err
	}
	manifest := strings.NewReplacer("$IMAGE", dnsImage, "$ADDRESS", serviceDNS).Replace(dnsManifest)
	if _, err := c.kubectl(ctx, manifest, "apply", "-f", "-"); err != nil {
		return err
	}
	_, err := c.kubectl(ctx, "", "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	if err != nil {
		out, _ := c.kubectl(ctx, "", "-n", "kube-system", "describe", "pods")
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
