package netplugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
)

// The code that a runtime gets tells an IPAM plugin that is not there from one that cannot run, and both from one that
// says itself what is wrong.
func TestWhatAnIPAMPluginsFailureBecomes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		plugin string
		err    error
		want   string // code, text, details
	}{
		"it is not there": {"none", errors.New("not found"),
			"7 IPAM plugin none, ADD: not found (ipam.type must name an IPAM plugin that lies in CNI_PATH)"},
		"it died": {"there", types.NewError(types.ErrUnknown, "netplugin failed with no error message: signal: killed", ""),
			"11 IPAM plugin there, ADD: netplugin failed with no error message: signal: killed (see that there is a program for this machine: " +
				"azure-vnet doctor lets it say its versions)"},
		"it died, and said something": {"there", types.NewError(types.ErrUnknown, "netplugin failed", "panic"),
			"11 IPAM plugin there, ADD: netplugin failed (panic)"},
		"it answers nonsense": {"there", errors.New("invalid character"),
			"6 IPAM plugin there, ADD: it answers with what is no result: invalid character (see that there is an IPAM plugin for this machine: " +
				"azure-vnet doctor lets it say its versions)"},
		"its own error": {"there", fmt.Errorf("wrapped: %w", types.NewError(cni.CodeNoAddress, "no address", "assign some")),
			"100 IPAM plugin there, ADD: no address (assign some)"},
	} {
		d := delegate{plugin: c.plugin, args: &skel.CmdArgs{Path: dir}}
		var got *types.Error
		if err := d.failed("ADD", c.err); !errors.As(err, &got) {
			t.Errorf("%s: %v", name, err)
		} else if text := fmt.Sprintf("%d %s (%s)", got.Code, got.Msg, got.Details); text != c.want {
			t.Errorf("%s: %s\nwant %s", name, text, c.want)
		}
	}
	if err := (delegate{}).failed("ADD", nil); err != nil {
		t.Errorf("success became %v", err)
	}
}

// A plugin that is executed and dies is one to try again.
func TestAnIPAMPluginThatDies(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the plugin is a script")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dies"), []byte("#!/bin/sh\nkill -9 $$\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CNI_PATH", dir)
	t.Setenv("CNI_COMMAND", "STATUS")
	c := &cni.Command{Name: "STATUS", CmdArgs: &skel.CmdArgs{Path: dir}, Log: slog.New(slog.DiscardHandler)}
	d := newDelegate(c, &cni.NetConf{Common: cni.Common{IPAM: cni.IPAM{Type: "dies"},
		Raw: []byte(`{"cniVersion":"1.1.0","name":"azure","type":"azure-vnet","ipam":{"type":"dies"}}`)}}, ipamplugin.New("v1.0.0"))
	var got *types.Error
	if err := d.status(context.Background()); !errors.As(err, &got) || got.Code != types.ErrTryAgainLater {
		t.Errorf("it becomes %v", err)
	}
}
