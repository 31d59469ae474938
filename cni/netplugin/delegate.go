package netplugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/log/step"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// ipamCaller is the configuration's IPAM plugin, as a command calls it. Errors are the plugin's own, and say who
// failed.
type ipamCaller interface {
	add(ctx context.Context) (*types100.Result, error)
	del(ctx context.Context) error

	// delOf is del for another owner than the command's.
	delOf(ctx context.Context, o network.Owner) error

	// delAddress is del of an address, whoever holds it.
	delAddress(ctx context.Context, a netip.Addr) error

	// check asks about prev, nil or the runtime's result. gateways are what the plugin gave where the pod has others.
	check(ctx context.Context, prev *types100.Result, gateways []netip.Addr) error

	// gc lets it free what is of no valid attachment.
	gc(ctx context.Context, valid []cni.Attachment) error
	status(ctx context.Context) error

	// inProcess says whether it is our own, called in this process.
	inProcess() bool
}

// delegate is the IPAM plugin of the configuration. It gets the very bytes that we received, and finds
// itself in CNI_PATH.
type delegate struct {
	plugin string
	conf   []byte
	args   *skel.CmdArgs
	log    *slog.Logger

	// own is our IPAM plugin, which is called in this process: starting another one takes longer than all the rest of a
	// command. Nil executes the plugin.
	own *cni.Plugin
}

// newDelegate finds the plugin. Ours is called in this process if what lies in CNI_PATH under its name is of the very
// build of this program, so that it makes no difference which of the two runs (but for the time).
func newDelegate(c *cni.Command, conf *cni.NetConf, ours *cni.Plugin) delegate {
	d := delegate{plugin: conf.IPAM.Type, conf: conf.Raw, args: c.CmdArgs, log: c.Log}
	if d.plugin != ours.Name || conf.ExecIPAM {
		return d
	}
	if path, err := invoke.FindInPath(d.plugin, filepath.SplitList(c.Path)); err == nil &&
		platform.SameBuild(path) && platform.Executable(path) {
		d.own = ours
	}
	return d
}

func (d delegate) inProcess() bool { return d.own != nil }

// call has the plugin run a command. Only ADD has a result.
func (d delegate) call(ctx context.Context, command string) (types.Result, error) {
	in := "a process of its own"
	if d.own != nil {
		in = "this process"
	}
	call := func() (types.Result, error) { return d.execute(ctx, command) }
	return step.Get(d.log, "call the IPAM plugin", call, slog.String("type", d.plugin),
		slog.String("what", command), slog.String("in", in))
}

func (d delegate) execute(ctx context.Context, command string) (types.Result, error) {
	if d.own != nil {
		args := *d.args
		args.StdinData = d.conf
		return d.own.Call(ctx, command, &args)
	}
	switch command {
	case "ADD":
		return invoke.DelegateAdd(ctx, d.plugin, d.conf, nil)
	case "DEL":
		return nil, invoke.DelegateDel(ctx, d.plugin, d.conf, nil)
	case "CHECK":
		return nil, invoke.DelegateCheck(ctx, d.plugin, d.conf, nil)
	case "GC":
		return nil, invoke.DelegateGC(ctx, d.plugin, d.conf, nil)
	default:
		return nil, invoke.DelegateStatus(ctx, d.plugin, d.conf, nil)
	}
}

// run is call for commands without a result.
func (d delegate) run(ctx context.Context, command string) error {
	_, err := d.call(ctx, command)
	return d.failed(command, err)
}

func (d delegate) add(ctx context.Context) (*types100.Result, error) {
	r, err := d.call(ctx, "ADD")
	if err != nil {
		return nil, d.failed("ADD", err)
	}
	result, err := types100.NewResultFromResult(r)
	if err != nil {
		return nil, d.failed("ADD", err)
	}
	if len(result.IPs) == 0 {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "IPAM plugin "+d.plugin+" gave no address", "")
	}
	return result, nil
}

func (d delegate) del(ctx context.Context) error { return d.run(ctx, "DEL") }

// delOf is del for another owner than the command's.
func (d delegate) delOf(ctx context.Context, o network.Owner) error {
	var conf map[string]json.RawMessage
	if err := json.Unmarshal(d.conf, &conf); err != nil {
		return types.NewError(types.ErrDecodingFailure, "decode the network configuration: "+err.Error(), "")
	}
	// Marshalling a string, and a map of what was just decoded, cannot fail.
	conf["name"], _ = json.Marshal(o.Network)
	d.conf, _ = json.Marshal(conf)
	args := *d.args
	args.ContainerID, args.IfName, args.Netns, args.Args = o.ContainerID, o.IfName, "", ""
	if d.args = &args; d.own != nil {
		return d.del(ctx)
	}
	path, err := invoke.FindInPath(d.plugin, filepath.SplitList(args.Path))
	if err == nil {
		err = invoke.ExecPluginWithoutResult(ctx, path, d.conf,
			&invoke.Args{Command: "DEL", ContainerID: o.ContainerID, IfName: o.IfName, Path: args.Path}, nil)
	}
	return d.failed("DEL", err)
}

// delAddress is del with "ipam.ipAddress", which releases the address even if nobody is known to hold it.
func (d delegate) delAddress(ctx context.Context, a netip.Addr) error {
	var conf, section map[string]json.RawMessage
	if err := json.Unmarshal(d.conf, &conf); err != nil {
		return types.NewError(types.ErrDecodingFailure, "decode the network configuration: "+err.Error(), "")
	}
	if err := json.Unmarshal(conf["ipam"], &section); err != nil {
		return types.NewError(types.ErrDecodingFailure, "decode ipam: "+err.Error(), "")
	}
	// Marshalling maps of what was just decoded, and a string, cannot fail.
	section["ipAddress"], _ = json.Marshal(a.String())
	conf["ipam"], _ = json.Marshal(section)
	d.conf, _ = json.Marshal(conf)
	return d.del(ctx)
}

// check asks about prev, nil or the runtime's result. gateways are what the plugin gave where the pod has others: it
// knows of no others.
func (d delegate) check(ctx context.Context, prev *types100.Result, gateways []netip.Addr) error {
	if prev != nil && len(gateways) > 0 {
		given := *prev
		given.IPs = nil
		for _, ip := range prev.IPs {
			one := *ip
			for _, gw := range gateways {
				if gw.Is4() == (ip.Address.IP.To4() != nil) {
					one.Gateway = gw.AsSlice()
				}
			}
			given.IPs = append(given.IPs, &one)
		}
		conf, err := withPrevResult(d.conf, &given)
		if err != nil {
			return err
		}
		d.conf = conf
	}
	return d.run(ctx, "CHECK")
}

func withPrevResult(text []byte, prev *types100.Result) ([]byte, error) {
	var conf map[string]json.RawMessage
	var version string
	if err := errors.Join(json.Unmarshal(text, &conf), json.Unmarshal(conf["cniVersion"], &version)); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "decode the network configuration: "+err.Error(), "")
	}
	result, err := prev.GetAsVersion(version)
	if err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "convert prevResult: "+err.Error(), "")
	}
	// Marshalling what was just decoded cannot fail.
	conf["prevResult"], _ = json.Marshal(result)
	text, _ = json.Marshal(conf)
	return text, nil
}

func (d delegate) status(ctx context.Context) error { return d.run(ctx, "STATUS") }

// gc lets the IPAM plugin free what is of no valid attachment.
func (d delegate) gc(ctx context.Context, valid []cni.Attachment) error {
	var conf map[string]json.RawMessage
	if err := json.Unmarshal(d.conf, &conf); err != nil {
		return types.NewError(types.ErrDecodingFailure, "decode the network configuration: "+err.Error(), "")
	}
	if valid == nil {
		valid = []cni.Attachment{}
	}
	// Marshalling a map of what was just decoded, and of strings, cannot fail.
	conf["cni.dev/valid-attachments"], _ = json.Marshal(valid)
	d.conf, _ = json.Marshal(conf)
	return d.run(ctx, "GC")
}

// failed keeps the IPAM plugin's own code, and says who failed.
func (d delegate) failed(command string, err error) error {
	if err == nil {
		return nil
	}
	text := fmt.Sprintf("IPAM plugin %s, %s: ", d.plugin, command)
	var own *types.Error
	_, missing := invoke.FindInPath(d.plugin, filepath.SplitList(d.args.Path))
	switch {
	case missing != nil:
		return types.NewError(types.ErrInvalidNetworkConfig, text+err.Error(),
			"ipam.type must name an IPAM plugin that lies in CNI_PATH")
	case !errors.As(err, &own):
		return types.NewError(types.ErrDecodingFailure, text+"it answers with what is no result: "+err.Error(), "see that "+
			d.plugin+" is an IPAM plugin for this machine: azure-vnet doctor lets it say its versions")
	case own.Code == types.ErrUnknown: // libcni's, when the plugin could not be executed or did not answer
		return types.NewError(types.ErrTryAgainLater, text+own.Msg,
			cmp.Or(own.Details, "see that "+d.plugin+
				" is a program for this machine: azure-vnet doctor lets it say its versions"))
	}
	return types.NewError(own.Code, text+own.Msg, own.Details)
}
