// Package netplugin is the CNI network plugin for Azure virtual networks.
package netplugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/Azure/azure-container-networking/store"
	"github.com/containernetworking/cni/pkg/types"
)

// Name is that of the plugin, of its program, and of its files.
const Name = cni.NetworkPlugin

// plugin is the network plugin with what its commands work on.
type plugin struct {
	newManager func(dir string, logger *slog.Logger) (*manager.Manager, error)
	newIPAM    func(c *cni.Command, conf *cni.NetConf) ipamCaller
}

// New is the plugin; version is for people. Without an operator it has no commands for them.
func New(version string) *cni.Plugin {
	host := platform.NewHost()
	p := &plugin{
		newManager: func(dir string, logger *slog.Logger) (*manager.Manager, error) { return newManager(dir, host, logger) },
		newIPAM: func(c *cni.Command, conf *cni.NetConf) ipamCaller {
			return newDelegate(c, conf, ipamplugin.NewOn(host, version))
		},
	}
	return &cni.Plugin{
		Name: Name, Version: version, Codes: Codes, OpenLog: OpenLog,
		Add: p.add, Del: p.del, Check: p.check, GC: p.gc, Status: p.status,
		Words:   "Azure CNI Version", // what scripts look for in the classic plugin's answer
		Queries: map[string]func(context.Context, []byte) (any, error){"GET_ENDPOINT_STATE": endpointState},
	}
}

// Codes are those of the errors.
var Codes = append([]cni.Code{
	{Err: network.ErrExists, Code: cni.CodeExists, Remedy: "DEL it first"},
	{Err: network.ErrMaster, Code: cni.CodeMaster,
		Remedy: "set \"master\" in the network configuration to the interface of this VM that is in the VNET"},
	{Err: network.ErrNoPort, Code: cni.CodeMaster,
		Remedy: "remove what is on the master, or set \"mode\": \"transparent\", which needs no bridge"},
	{Err: network.ErrDifference, Code: cni.CodeDifference,
		Remedy: "the next ADD repairs what belongs to the network; recreate the pod to repair the rest"},
	{Err: network.ErrKernel, Code: cni.CodeKernel, Remedy: "use a kernel with the named feature, or another mode"},
	{Err: network.ErrLost, Code: cni.CodeState,
		Remedy: "delete the pods that have the other ends of these veths (ip -d link), or drain the node"},
	{Err: network.ErrUnsupported, Code: types.ErrUnsupportedField},
	{Err: network.ErrAddress, Code: types.ErrInvalidNetworkConfig, Remedy: addressRemedy},
	{Err: network.ErrConflict, Code: types.ErrInvalidNetworkConfig},
	{Err: network.ErrRoutes, Code: types.ErrInvalidNetworkConfig,
		Remedy: "the IPAM plugin's routes have to differ, and its gateways to be reached by its addresses"},
	{Err: network.ErrNetNS, Code: types.ErrInvalidNetNS,
		Remedy: "CNI_NETNS must name a network namespace that is not the host's"},
	{Err: network.ErrHNS, Code: types.ErrTryAgainLater,
		Remedy: "look at the service hns (Get-Service hns, Get-HnsNetwork); the runtime tries again"},
	{Err: network.ErrPorts, Code: types.ErrInvalidNetworkConfig},
	{Err: network.ErrBusy, Code: types.ErrTryAgainLater},
}, ipamplugin.StoreCodes...)

// OpenLog opens the log.
func OpenLog(file, level string) (*slog.Logger, io.Closer, error) {
	return ipamplugin.OpenLog(Name, file, level)
}

// command is one CNI command with all it needs.
type command struct {
	*cni.Command
	conf    *cni.NetConf
	owner   network.Owner
	config  network.Config
	manager *manager.Manager
	ipam    ipamCaller
}

func (p *plugin) command(c *cni.Command) (*command, error) {
	conf, err := cni.ParseNetConf(c.StdinData)
	if err != nil && conf != nil && c.Name == "DEL" && conf.EnoughForDel() {
		c.Log.Warn("the configuration is wrong, but will do for a DEL", "error", err)
		conf.Mode, err = "", nil // of no use here
	}
	if err != nil {
		return nil, err
	}
	mode, err := network.ParseMode(conf.Mode)
	if err != nil {
		return nil, err
	}
	m, err := p.newManager(conf.DataDir, c.Log)
	if err != nil {
		return nil, err
	}
	c.Note("network", conf.Name)
	m.Holders = func(ctx context.Context) (map[netip.Addr]string, error) {
		return ipamplugin.Holders(ctx, conf.DataDir, c.Log)
	}
	ipam := p.newIPAM(c, conf)
	if ipam.inProcess() {
		m.OnHost = nil // it has looked already, in this process
	}
	cmd := &command{
		Command: c, conf: conf, manager: m, ipam: ipam,
		owner: network.Owner{Network: conf.Name, ContainerID: c.ContainerID, IfName: c.IfName},
		config: network.Config{Mode: mode, Master: conf.Master, Bridge: conf.Bridge,
			Settings: Settings(conf), Giver: giver(conf)},
	}
	if onHNS {
		cmd.serveHNS()
	}
	return cmd, nil
}

// Settings are the configuration's, as the network package has them.
func Settings(conf *cni.NetConf) network.Settings {
	return network.Settings{
		AntiSpoof: !conf.DisableAntiSpoof, AllowHostAgent: conf.AllowHostAgent,
		IPsToRouteViaHost: prefixes(conf.IPsToRouteViaHost), IPMasq: conf.IPMasq, VnetCIDRs: prefixes(conf.VnetCIDRs),
		AcceptForward: conf.AcceptForward,
	}
}

func prefixes(list []string) (out []netip.Prefix) {
	for _, s := range list {
		if p, err := cni.ParsePrefix(s); err == nil { // validated when it was parsed
			out = append(out, p)
		}
	}
	return out
}

// NewManager is the one of the networks whose state is in the folder. It keeps no socket open: whoever watches a node
// makes one manager after the other.
// Errors: those of [OpenStore].
func NewManager(dir string, logger *slog.Logger) (*manager.Manager, error) {
	return newManager(dir, platform.Host{}, logger)
}

func newManager(dir string, host platform.Host, logger *slog.Logger) (*manager.Manager, error) {
	if dir == "" {
		dir = platform.DefaultDataDir
	}
	s, err := OpenStore(dir, logger)
	if err != nil {
		return nil, err
	}
	return &manager.Manager{Store: s, Claims: store.Claims{Path: filepath.Join(dir, Name+"-owners.lock")},
		Dataplane: newPlane(dir, host, logger), Interfaces: host.Interfaces, Interface: interfaceByName(host),
		OnHost: host.Addresses, Now: time.Now, Log: logger}, nil
}

// OpenStore opens the plugin's state in the folder.
// Error: the boot is not known.
func OpenStore(dir string, logger *slog.Logger) (*store.Store[network.State], error) {
	boot, err := platform.BootID()
	if err != nil {
		return nil, err
	}
	return store.New(store.Options[network.State]{
		Path: filepath.Join(dir, Name+".json"), Schema: network.Schema, Boot: boot, Log: logger, Holder: platform.HolderOf,
		Migrate:  network.Migrate,
		Import:   func(raw []byte, s *network.State) error { return network.ImportClassic(raw, s, time.Now()) },
		Merge:    func(s, late *network.State) { s.MergeLate(late, isHere) },
		Rebooted: func(s *network.State) { *s = network.State{} }, // nothing of the kernel's survived
	}), nil
}

// isHere says whether the host has the interface.
func isHere(ifName string) bool {
	look := interfaceByName(platform.Host{})
	if look == nil {
		return false
	}
	_, found, err := look(ifName)
	return found && err == nil
}

func (p *plugin) add(ctx context.Context, c *cni.Command) (_ types.Result, err error) {
	cmd, err := p.command(c)
	if err != nil {
		return nil, err
	}
	args, err := cni.ParseArgs(c.Args)
	if err != nil {
		return nil, err
	}
	mac, err := cmd.conf.PodMAC(args)
	if err != nil {
		return nil, err
	}
	prev, err := previous(cmd.conf)
	if err != nil {
		return nil, err
	}
	e := &network.Endpoint{
		Owner: cmd.owner, NetNS: c.Netns, MTU: cmd.conf.MTU, MAC: mac.String(),
		PodNamespace: string(args.K8S_POD_NAMESPACE), PodName: string(args.K8S_POD_NAME),
	}
	if err = nameable(cmd.owner); err != nil {
		return nil, err
	}
	if pod := args.Pod(); pod != "" {
		c.Note("pod", pod)
	}
	if onHNS {
		if err := cmd.configureHNS(e); err != nil {
			return nil, err
		}
		if shared, err := cmd.shareOnHNS(ctx); shared != nil || err != nil {
			return shared, err
		}
	}
	claim, err := cmd.manager.ClaimAdd(ctx, cmd.config, e)
	if err != nil {
		return nil, err
	}
	defer claim.Release()
	if err := cmd.manager.Precheck(ctx, cmd.config, e); err != nil {
		return nil, err
	}
	if err := cmd.manager.Announce(ctx, cmd.config, e); err != nil {
		return nil, err
	}
	undo := &network.Undo{}
	defer func() {
		// What the host still has of a pod may send from its address, which therefore stays reserved: DEL and GC
		// will find both.
		if err != nil && !errors.Is(err, network.ErrLeft) {
			err = undo.Run(ctx, err)
		}
	}()
	undo.Push(func(ctx context.Context) error { return cmd.manager.Forget(ctx, cmd.owner) })
	// Pushed before the call: an IPAM plugin that is killed half way may have reserved already.
	undo.Push(cmd.ipam.del)
	given, err := cmd.ipam.add(ctx)
	if err != nil && cmd.bury(ctx) > 0 { // the addresses of the dead may have been the last ones
		given, err = cmd.ipam.add(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := apply(given, e); err != nil {
		return nil, err
	}
	if onHNS {
		cmd.givenOnHNS(given, e)
	}
	n, err := cmd.manager.Add(ctx, cmd.config, e)
	if err != nil {
		return nil, err
	}
	c.Note("mode", n.Mode)
	c.Note("addresses", e.Addresses)
	if onHNS {
		return behind(prev, resultOnHNS(e)), nil
	}
	return behind(prev, result(n, e, given, cmd.conf.PodDNS(given.DNS))), nil
}

// bury takes away what is left of pods that are gone without a DEL, frees their addresses, and returns how many there
// were.
func (c *command) bury(ctx context.Context) int {
	buried, err := c.manager.Bury(ctx)
	for _, o := range buried {
		err = errors.Join(err, c.ipam.delOf(ctx, o))
	}
	if err != nil {
		c.Log.Warn("take away what is left of pods that are gone", "error", err)
	}
	if len(buried) > 0 {
		c.Note("buried", len(buried))
	}
	return len(buried)
}

// nameable says whether the host can have the owner's interface, and know whose it is.
func nameable(o network.Owner) error {
	const longest = 255 // of a link's alias, which holds the owner: include/uapi/linux/if.h, IFALIASZ
	switch {
	case o.IfName == "all" || o.IfName == "default" || strings.Contains(o.IfName, "%"):
		return types.NewError(types.ErrInvalidEnvironmentVariables,
			"CNI_IFNAME="+o.IfName+": the kernel gives no interface this name", "")
	case len(o.String()) > longest:
		return types.NewError(types.ErrInvalidEnvironmentVariables,
			fmt.Sprintf("CNI_CONTAINERID has %d characters: with the network's and the interface's name %d at the most can "+
				"be kept", len(o.ContainerID), longest), "")
	}
	return nil
}

func (p *plugin) del(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	if onHNS {
		if done, err := cmd.unshareOnHNS(ctx); done {
			return err
		}
	}
	claim, err := cmd.manager.Claim(ctx, cmd.owner)
	if err != nil {
		return err
	}
	defer claim.Release()
	// The host first: an address must not be given again while its pod can still use it.
	e, err := cmd.manager.Remove(ctx, cmd.owner, c.Netns)
	if err != nil {
		return err
	}
	if e == nil || !e.Rebuilt {
		return cmd.ipam.del(ctx)
	}
	// The IPAM plugin's state may have been lost with ours: it knows that the address is in use, but not whose it is.
	for _, a := range e.Addresses {
		err = errors.Join(err, cmd.ipam.delAddress(ctx, a.Addr()))
	}
	return err
}

func (p *plugin) check(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	prev, err := previous(cmd.conf)
	if err != nil {
		return err
	}
	var gateways []netip.Addr
	if cmd.config.Mode.Routed() && !cmd.ipam.inProcess() {
		if gateways, err = cmd.manager.Gateways(ctx, cmd.owner); err != nil {
			return err
		}
	}
	if err := cmd.ipam.check(ctx, prev, gateways); err != nil {
		return err
	}
	if prev == nil {
		return cni.Invalid("prevResult", "", "is missing, CHECK needs it")
	}
	b, err := believed(prev, c.IfName, c.Netns)
	if err != nil {
		return err
	}
	claim, err := cmd.manager.Claim(ctx, cmd.owner)
	if err != nil {
		return err
	}
	defer claim.Release()
	return cmd.manager.Check(ctx, cmd.owner, c.Netns, b)
}

func (p *plugin) gc(ctx context.Context, c *cni.Command) error {
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
	if _, err := cmd.manager.BuryNameless(ctx); err != nil {
		return err
	}
	// The IPAM plugin frees what is not valid, and would free what an ADD has just been given.
	claim, err := cmd.manager.ClaimAll(ctx)
	if err != nil {
		return err
	}
	defer claim.Release()
	collected, left, err := cmd.manager.Collect(ctx, cmd.conf.Name, func(containerID, ifName string) bool {
		// A pod of which nobody knows the container is in no list.
		return keep[cni.Attachment{ContainerID: containerID, IfName: ifName}] ||
			strings.HasPrefix(containerID, platform.NamelessPrefix)
	})
	c.Note("collected", len(collected))
	if left == nil { // what is there may have any address but those of the collected ones
		for _, o := range collected {
			err = errors.Join(err, cmd.ipam.delOf(ctx, o))
		}
		return err
	}
	for _, o := range left { // the addresses of what could not be removed must stay reserved
		valid = append(valid, cni.Attachment{ContainerID: o.ContainerID, IfName: o.IfName})
	}
	return errors.Join(err, cmd.ipam.gc(ctx, valid))
}

func (p *plugin) status(ctx context.Context, c *cni.Command) error {
	cmd, err := p.command(c)
	if err != nil {
		return err
	}
	if err := cmd.manager.Status(ctx, cmd.conf.Name, cmd.config); err != nil {
		return cni.Unavailable(err, Codes)
	}
	err = cmd.ipam.status(ctx)
	if err != nil && !cmd.manager.Store.Foreign(ctx) &&
		cmd.bury(ctx) > 0 { // a node that is not ready gets no pods, so no ADD would do it
		err = cmd.ipam.status(ctx)
	}
	return cni.Unavailable(err, Codes) // also of a plugin that is not there, or cannot be executed
}
