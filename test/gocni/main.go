// Command gocni lets containerd's own CNI client, go-cni, drive plugins: gocni -conf DIR -bin DIR setup|check|remove ID
// NETNS. It is a module of its own, so that what go-cni needs stays out of the plugins' go.mod.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	gocni "github.com/containerd/go-cni"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	conf := flag.String("conf", "", "folder of the configurations")
	bin := flag.String("bin", "", "folder of the plugins")
	ports := flag.String("ports", "", "port mappings as go-cni has them, in JSON")
	dns := flag.String("dns", "", "DNS as go-cni has it, in JSON")
	pod := flag.String("pod", "", "name of the Kubernetes pod, in the namespace default")
	flag.Parse()
	if flag.NArg() != 3 {
		return fmt.Errorf("gocni [flags] setup|check|remove ID NETNS")
	}
	// As containerd's CRI plugin for Windows does it: no loopback.
	client, err := gocni.New(gocni.WithMinNetworkCount(1), gocni.WithPluginConfDir(*conf), gocni.WithPluginDir([]string{*bin}))
	if err != nil {
		return err
	}
	if err := client.Load(gocni.WithDefaultConf); err != nil {
		return err
	}
	var options []gocni.NamespaceOpts
	if *pod != "" {
		options = append(options, gocni.WithLabels(map[string]string{"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": *pod, "IgnoreUnknown": "1"}))
	}
	if *ports != "" {
		var list []gocni.PortMapping
		if err := json.Unmarshal([]byte(*ports), &list); err != nil {
			return err
		}
		options = append(options, gocni.WithCapabilityPortMap(list))
	}
	if *dns != "" {
		var d gocni.DNS
		if err := json.Unmarshal([]byte(*dns), &d); err != nil {
			return err
		}
		options = append(options, gocni.WithCapabilityDNS(d))
	}
	ctx, id, netns := context.Background(), flag.Arg(1), flag.Arg(2)
	switch flag.Arg(0) {
	case "setup":
		result, err := client.Setup(ctx, id, netns, options...)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(result)
	case "check":
		return client.Check(ctx, id, netns, options...)
	case "remove":
		return client.Remove(ctx, id, netns, options...)
	}
	return fmt.Errorf("unknown command %s", flag.Arg(0))
}
