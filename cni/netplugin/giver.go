package netplugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/network"
	"github.com/containernetworking/cni/pkg/invoke"
)

// giver is what an IPAM plugin that is not ours needs of the configuration for a DEL; nil for ours, which needs no more
// than the owner. The network's record keeps it, since cleanup has no configuration.
func giver(conf *cni.NetConf) json.RawMessage {
	if conf.IPAM.Type == ipamplugin.Name {
		return nil
	}
	// Strings, and what was decoded before, can be encoded.
	b, _ := json.Marshal(map[string]any{"cniVersion": conf.CNIVersion, "name": conf.Name, "type": Name,
		"ipam": cni.Part(conf.Raw, "ipam")})
	return b
}

// GiveBack lets the IPAM plugin of a network that was cleaned up have the addresses of its pods. who says whose it is
// for people.
func GiveBack(ctx context.Context, conf json.RawMessage, pods []network.Owner) (who string, errs error) {
	var c struct{ IPAM struct{ Type string } }
	if err := json.Unmarshal(conf, &c); err != nil {
		return "", fmt.Errorf("the record of the network's IPAM plugin: %w", err)
	}
	path, err := invoke.FindInPath(c.IPAM.Type, cni.PluginFolders())
	for _, o := range pods {
		if err == nil {
			args := &invoke.Args{Command: "DEL", ContainerID: o.ContainerID, IfName: o.IfName, Path: filepath.Dir(path)}
			errs = errors.Join(errs, invoke.ExecPluginWithoutResult(ctx, path, conf, args, nil))
		}
	}
	return c.IPAM.Type, errors.Join(err, errs)
}
