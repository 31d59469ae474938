// Package networks is the part of doctor that looks at the networks of azure-vnet and their pods.
package networks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/network"
	"github.com/containernetworking/cni/pkg/invoke"
)

var discard = slog.New(slog.DiscardHandler)

// New is an examination of everything, which has not begun.
func New(o doctor.Options) *doctor.Examination {
	return &doctor.Examination{Options: o, Networks: all{}}
}

// all implements doctor.Networks.
type all struct{}

// examination is one under way.
type examination struct{ *doctor.Examination }

// Mode implements doctor.Networks.
func (all) Mode(mode string) error {
	_, err := network.ParseMode(mode)
	return err
}

// Versions implements doctor.Networks.
func (all) Versions(ctx context.Context, path string) ([]string, error) {
	info, err := invoke.GetVersionInfo(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return info.SupportedVersions(), nil
}

// ReadState implements doctor.Networks.
func (all) ReadState(ctx context.Context, dir string, logger *slog.Logger) error {
	s, err := netplugin.OpenStore(dir, logger)
	if err != nil {
		return err
	}
	return s.View(ctx, func(*network.State) error { return nil })
}

// Examine implements doctor.Networks.
func (all) Examine(ctx context.Context, d *doctor.Examination) (found []finding.Finding) {
	e := &examination{d}
	for _, check := range []func(context.Context) []finding.Finding{e.attachments, e.networks, e.managers} {
		found = append(found, check(ctx)...)
	}
	for i := range found {
		if f := &found[i]; f.Remedy == "" && f.Owner != nil {
			f.Remedy = e.delOf(ipam.Owner(*f.Owner))
		}
		found[i].Remedy = strings.ReplaceAll(found[i].Remedy, network.RepairCommand,
			filepath.Join(cni.ProgramDir(), netplugin.Name)+" repair"+e.Where())
	}
	return found
}

// networks are the checks of the network package.
func (e *examination) networks(ctx context.Context) []finding.Finding {
	m, err := netplugin.NewManager(e.DataDir, discard)
	if err != nil {
		return finding.Report("networks", "",
			[]finding.Finding{{Level: finding.Failure, Found: err.Error(), Remedy: "run doctor as root, on the host"}})
	}
	var c *network.Config
	var name string
	if conf := e.Conf(); conf != nil {
		mode, _ := network.ParseMode(conf.Mode) // validated when it was parsed
		name, c = conf.Name, &network.Config{Mode: mode, Master: conf.Master, Bridge: conf.Bridge,
			Settings: netplugin.Settings(conf)}
	}
	found, err := m.Examine(ctx, name, c)
	if err != nil {
		return nil // the check of the state files says so
	}
	return found
}

// delOf is the command that takes an attachment away, whatever is left of it. It is what a runtime would do.
func (e *examination) delOf(o ipam.Owner) string {
	harmless := regexp.MustCompile(`^[a-zA-Z0-9_.:-]+$`) // a person may paste it into a shell
	for _, part := range []string{o.Network, o.ContainerID, o.IfName} {
		if !harmless.MatchString(part) {
			return "let the runtime collect garbage (GC)"
		}
	}
	conf := map[string]any{"cniVersion": "1.0.0", "name": o.Network, "type": netplugin.Name, "dataDir": e.DataDir,
		"ipam": json.RawMessage(`{"type":"` + ipamplugin.Name + `"}`)}
	if c := e.Conf(); c != nil {
		conf["logFile"], conf["ipam"] = e.LogFile, cni.Part(c.Raw, "ipam")
	}
	b, err := json.Marshal(conf)
	if err != nil || strings.ContainsAny(string(b), `'`) {
		return "DEL of container " + o.ContainerID
	}
	bin := cni.ProgramDir()
	return fmt.Sprintf("if the container is gone: echo '%s' | CNI_COMMAND=DEL CNI_CONTAINERID=%s CNI_IFNAME=%s "+
		"CNI_PATH=%s %s",
		b, o.ContainerID, o.IfName, strings.Join(cni.PluginFolders(), string(filepath.ListSeparator)),
		filepath.Join(bin, netplugin.Name))
}
