package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/prepare"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

// hostPrepare writes the files that this node needs before its first pod, by what its configurations say.
func hostPrepare(ctx context.Context, o options, stdout io.Writer) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(stdout, format+"\n", args...) }
	n, err := preparedNode(o)
	if err != nil {
		return err
	}
	return n.Prepare(ctx, o.dryRun, say)
}

// hostRestore takes these files away again.
func hostRestore(ctx context.Context, o options, stdout io.Writer) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(stdout, format+"\n", args...) }
	ifaces, err := platform.Host{}.Interfaces()
	if err != nil {
		return err
	}
	n := prepare.Node{Root: o.root, Bridge: bridgeOf(ifaces)}
	if o.dryRun {
		n.Bridge = "" // the one who asks cleans up first
	}
	return n.Restore(ctx, o.dryRun, say)
}

// bridgeOf is the bridge of ours that has a NIC of the host as its port.
func bridgeOf(ifaces []platform.Interface) string {
	for _, b := range ifaces {
		if b.Kind == "bridge" && strings.HasPrefix(b.Name, azure.BridgePrefix) &&
			slices.ContainsFunc(ifaces, func(i platform.Interface) bool { return i.Master == b.Index && mayBeMaster(i) }) {
			return b.Name
		}
	}
	return ""
}

// preparedNode is what the configurations make of this node.
func preparedNode(o options) (prepare.Node, error) {
	n := prepare.Node{Root: o.root}
	var sections []cni.Section
	var err error
	if o.config != "" {
		sections, err = cni.Sections(o.config)
	} else {
		sections, err = cni.FindSections(filepath.Join(o.root, doctor.ConfDir))
	}
	if err != nil {
		return n, err
	}
	var masters []string // "" is any
	for _, s := range sections {
		var conf struct{ Mode, Master string }
		if s.Type != name || json.Unmarshal(s.Raw, &conf) != nil {
			continue // what cannot be read makes no network
		}
		if mode, err := network.ParseMode(conf.Mode); err != nil || mode == network.ModeTransparent {
			continue
		}
		n.Bridged = true
		masters = append(masters, conf.Master)
	}
	ifaces, err := platform.Host{}.Interfaces()
	n.Bridge = bridgeOf(ifaces)
	for _, i := range ifaces {
		named := slices.Contains(masters, i.Name)
		if named || slices.Contains(masters, "") && mayBeMaster(i) {
			n.NICs = append(n.NICs, i)
		}
	}
	return n, err
}

// mayBeMaster says whether a network that names no master can take the interface.
func mayBeMaster(i platform.Interface) bool {
	return !i.Loopback && !i.Slave && len(i.MAC) == 6 && i.Kind != "bridge" && !strings.HasPrefix(i.Name,
		azure.HostVethPrefix)
}
