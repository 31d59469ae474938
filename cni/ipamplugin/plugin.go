// Package ipamplugin is the CNI IPAM plugin for Azure virtual networks.
package ipamplugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/log"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Name is that of the plugin, and of its program.
const Name = "azure-vnet-ipam"

// StoreCodes are those of a state file, whoever's it is.
var StoreCodes = []cni.Code{
	{Err: store.ErrLocked, Code: types.ErrTryAgainLater,
		Remedy: "another process holds the lock for long; it is freed when that process ends"},
	{Err: store.ErrSchema, Code: cni.CodeState,
		Remedy: "the file was written by another version of the plugin: upgrade, or move the file and its mirror (.bak) " +
			"away; the plugin rebuilds its state"},
	{Err: store.ErrUnusable, Code: cni.CodeState, Remedy: "move the file away; the plugin rebuilds its state"},
	{Err: store.ErrRead, Code: types.ErrIOFailure,
		Remedy: "the file may be as it should be: see that the plugin runs as root, and what the system lacks (open files, " +
			"memory, a disk that works)"},
	{Err: store.ErrWrite, Code: types.ErrIOFailure,
		Remedy: "free space on, or make writable, the folder of the state file (dataDir)"},
}

var codes = append([]cni.Code{
	{Err: ipam.ErrOnlyOnHost, Code: cni.CodeNoAddress, Remedy: onHostRemedy},
	{Err: ipam.ErrOnHost, Code: types.ErrInvalidNetworkConfig, Remedy: "ask for another address; or: " + onHostRemedy},
	{Err: ipam.ErrExhausted, Code: cni.CodeNoAddress,
		Remedy: "assign more addresses to the NIC, or delete pods; \"azure-vnet-ipam show\" lists the holders"},
	{Err: ipam.ErrForeign, Code: cni.CodeNoPool,
		Remedy: "see which NICs this VM has (ip -br link), and attach the one that is missing; on Azure Stack see that the " +
			"file is this VM's"},
	{Err: ipam.ErrNoPool, Code: cni.CodeNoPool, Remedy: "assign secondary addresses to a NIC of this VM (docs/ipam.md)"},
	{Err: ipam.ErrNotListed, Code: types.ErrInvalidNetworkConfig,
		Remedy: "ask for an address that Azure assigned to this VM's NIC"},
	{Err: ipam.ErrInUse, Code: types.ErrInvalidNetworkConfig,
		Remedy: "ask for another address; \"azure-vnet-ipam show\" lists the holders"},
	{Err: ipam.ErrNotReserved, Code: cni.CodeDifference},
	{Err: ipam.ErrElsewhere, Code: types.ErrInvalidNetworkConfig,
		Remedy: "ask for an address of that pool; or run azure-vnet cleanup for the network when it has no pods, which " +
			"ends its binding"},
	{Err: ipam.ErrSearch, Code: types.ErrTryAgainLater,
		Remedy: "let the plugin run as root, with CAP_SYS_ADMIN: it looks into the network namespaces of this host"},
	{Err: source.ErrFile, Code: types.ErrTryAgainLater,
		Remedy: "write the file that the message names, which lists this VM's addresses (docs/ipam.md)"},
	{Err: source.ErrUnavailable, Code: types.ErrTryAgainLater, Remedy: remedySource(azure.HostAgentURL)},
}, StoreCodes...)

func remedySource(url string) string {
	return "see what the host agent answers: curl -m 5 '" + url + "'; no route, firewall rule or proxy may come between"
}

// explained names the configuration's source, if that is what failed.
func (c *command) explained(err error) error {
	if !errors.Is(err, source.ErrUnavailable) || c.manager.Environment == azure.EnvironmentStack {
		return err
	}
	if said := Explain(err); said.Code == types.ErrTryAgainLater && said.Details == remedySource(azure.HostAgentURL) {
		return types.NewError(said.Code, said.Msg, remedySource(c.manager.URL))
	}
	return err
}

// New is the plugin; version is for people. Without an operator it has no commands for them.
func New(version string) *cni.Plugin { return NewOn(platform.NewHost(), version) }

// NewOn is New for a caller who asks the host himself, too.
func NewOn(host platform.Host, version string) *cni.Plugin {
	p := plugin{host}
	return &cni.Plugin{
		Name: Name, Version: version, Usage: usage, Codes: codes, OpenLog: openLog,
		Add: p.add, Del: p.del, Check: p.check, GC: p.gc, Status: p.status,
	}
}

func openLog(file, level string) (*slog.Logger, io.Closer, error) {
	return OpenLog(Name, file, level)
}

// OpenLog opens the log of a plugin. A file that the configuration names belongs to both plugins, so there each line
// says whose it is.
func OpenLog(plugin, file, level string) (*slog.Logger, io.Closer, error) {
	usual := platform.DefaultLogFile(plugin)
	if file = cmp.Or(file, usual); file == usual {
		return log.OpenFor(file, level, cni.Stderr)
	}
	return log.OpenFor(file, level, cni.Stderr, slog.String("plugin", plugin))
}

// plugin is the IPAM plugin with what its commands work on.
type plugin struct{ host platform.Host }

// command is one CNI command with all it needs.
type command struct {
	conf    *cni.IPAMConf
	owner   ipam.Owner
	manager *ipam.Manager
}

func (p plugin) command(c *cni.Command) (*command, error) {
	conf, err := cni.ParseIPAMConf(c.StdinData)
	if err != nil && conf != nil && c.Name == "DEL" && conf.EnoughForDel() {
		c.Log.Warn("the configuration is wrong, but will do for a DEL", "error", err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	m, err := newManager(conf, p.host, c.Log)
	if err != nil {
		return nil, err
	}
	return &command{conf, ipam.Owner{Network: conf.Name, ContainerID: c.ContainerID, IfName: c.IfName}, m}, nil
}

func newManager(conf *cni.IPAMConf, host platform.Host, logger *slog.Logger) (*ipam.Manager, error) {
	m := &ipam.Manager{
		Environment: conf.IPAM.Environment, Interval: time.Duration(conf.IPAM.QueryInterval), Master: conf.Master,
		Interfaces: host.Interfaces, Interface: interfaceByName(host), OnHost: host.Addresses,
		Gone: platform.GoneNamespaces, Now: time.Now, Log: logger,
	}
	if m.Interval == 0 {
		m.Interval = ipam.DefaultQueryInterval
	}
	switch m.Environment {
	case azure.EnvironmentStack:
		m.URL = cmp.Or(conf.IPAM.InterfacesFile, platform.DefaultInterfacesFile)
		m.Source = source.File{Path: m.URL}
	default:
		m.Environment, m.URL = azure.EnvironmentAzure, cmp.Or(conf.IPAM.QueryURL, azure.HostAgentURL)
		m.Source = source.HostAgent{URL: m.URL}
	}
	dir := cmp.Or(conf.DataDir, platform.DefaultDataDir)
	m.RefreshLock = filepath.Join(dir, Name+"-refresh.lock")
	m.Complete = runtime.GOOS == "windows"
	m.InUse = func() (map[netip.Addr]ipam.Owner, error) { return InUse(dir) }
	var err error
	m.Store, err = OpenStore(dir, logger)
	return m, err
}

// OpenStore opens the plugin's state in the folder.
func OpenStore(dir string, logger *slog.Logger) (*store.Store[ipam.State], error) {
	boot, err := platform.BootID()
	if err != nil {
		return nil, fmt.Errorf("boot identity: %w", err)
	}
	return store.New(store.Options[ipam.State]{
		Path: filepath.Join(dir, Name+".json"), Schema: ipam.Schema, Boot: boot, Log: logger, Holder: platform.HolderOf,
		Rebooted: func(s *ipam.State) {
			s.Reset()
			s.Answer = ipam.SourceStatus{} // the VM may have moved: ask again
		},
		Import: func(raw []byte, s *ipam.State) error {
			return ipam.ImportClassic(raw, s, classicAttachments(dir), time.Now())
		},
		Migrate: ipam.Migrate,
		Merge:   func(s, late *ipam.State) { s.MergeLate(late, takenOver(dir), time.Now()) },
	}), nil
}

func (p plugin) add(ctx context.Context, c *cni.Command) (types.Result, error) {
	cmd, err := p.command(c)
	if err != nil {
		return nil, err
	}
	args, err := cni.ParseArgs(c.Args)
	if err != nil {
		return nil, err
	}
	requests, err := cmd.requests(args)
	if err != nil {
		return nil, err
	}
	for i := range requests {
		requests[i].Namespace = platform.NamespaceNumber(c.Netns)
	}
	assigned, err := cmd.manager.Allocate(ctx, requests)
	if err != nil {
		return nil, cmd.explained(fmt.Errorf("allocate an address for %s: %w", cmd.owner, err))
	}
	c.Note("network", cmd.owner.Network)
	result := &types100.Result{CNIVersion: types100.ImplementedSpecVersion,
		DNS: types.DNS{Nameservers: []string{azure.HostAgent.String()}}}
	for _, a := range assigned {
		c.Note("address", a.Address.String())
		gw := net.IP(a.Gateway.AsSlice())
		result.IPs = append(result.IPs,
			&types100.IPConfig{Address: cni.IPNet(netip.PrefixFrom(a.Address, a.Prefix.Bits())), Gateway: gw})
		anywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if a.Address.Is6() {
			anywhere = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		result.Routes = append(result.Routes, &types.Route{Dst: cni.IPNet(anywhere), GW: gw})
	}
	return result, nil
}

func (p plugin) del(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	address, _ := cni.ParseAddress(cmd.conf.IPAM.IPAddress) // validated; none is no address
	freed, err := cmd.manager.Release(ctx, cmd.owner, address)
	c.Note("network", cmd.owner.Network)
	if err == nil {
		c.Note("freed", freed)
	}
	return err
}

func (p plugin) check(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	c.Note("network", cmd.owner.Network)
	var prev struct {
		PrevResult *struct {
			IPs []struct {
				Address string `json:"address"`
			} `json:"ips"`
		} `json:"prevResult"`
	}
	if err := json.Unmarshal(c.StdinData, &prev); err != nil {
		return types.NewError(types.ErrDecodingFailure, "decode prevResult: "+err.Error(), "")
	}
	var result []netip.Addr
	if prev.PrevResult != nil {
		for _, ip := range prev.PrevResult.IPs {
			if a, err := cni.ParseAddress(ip.Address); err == nil {
				result = append(result, a)
			}
		}
	}
	return cmd.manager.Check(ctx, cmd.owner, result)
}

func (p plugin) gc(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	valid, err := cmd.conf.ValidAttachments()
	if err != nil {
		return err
	}
	keep := map[cni.Attachment]bool{}
	for _, a := range valid {
		keep[a] = true
	}
	freed, err := cmd.manager.Collect(ctx, cmd.conf.Name, func(containerID, ifName string) bool {
		return keep[cni.Attachment{ContainerID: containerID, IfName: ifName}]
	})
	c.Note("network", cmd.conf.Name)
	c.Note("freed", freed)
	return err
}

func (p plugin) status(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	requests, err := cmd.requests(cni.Args{})
	if err != nil {
		return err
	}
	for _, q := range requests {
		err := cmd.manager.Status(ctx, q)
		if errors.Is(err, ipam.ErrFull) && cmd.conf.IPAM.StatusWhenFull != "error" {
			c.Log.Warn("no address is left for another container", "error", err)
			continue
		}
		if err != nil {
			return cni.Unavailable(cmd.explained(err), codes)
		}
	}
	return nil
}
