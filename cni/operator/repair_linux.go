package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/netplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/doctor/networks"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/manager"
)

// repair puts right what of the host's side of networks and pods is not as it should be, and says what that was. With
// --watch it goes on until it is told to end.
func repair(ctx context.Context, o options, stdout io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("repair needs root")
	}
	if o.watch {
		return watch(ctx, o, stdout)
	}
	done, err := repairOnce(ctx, o, stdout)
	if len(done.Right) == 0 && done.Busy == 0 && err == nil {
		_, _ = fmt.Fprintln(stdout, "There is nothing to repair.")
	}
	return err
}

// repairOnce looks once. What it finds goes to people, and as one line to the log.
func repairOnce(ctx context.Context, o options, stdout io.Writer) (manager.Repaired, error) {
	d := networks.New(o.examined())
	for _, f := range d.Locate() {
		if f.Level != finding.OK && o.config != "" {
			return manager.Repaired{}, errors.New(f.Found)
		}
	}
	m, err := netplugin.NewManager(d.DataDir, o.logger)
	if err != nil {
		return manager.Repaired{}, err
	}
	started := time.Now()
	done, err := m.Repair(ctx)
	for _, r := range done.Right {
		_, _ = fmt.Fprintf(stdout, "repaired: %s\n", r)
	}
	if done.Busy > 0 && !o.watch {
		_, _ = fmt.Fprintf(stdout, "%d endpoints were left to the commands that are about them.\n", done.Busy)
	}
	if len(done.Right) > 0 || err != nil {
		logRepair(d, done, err, time.Since(started))
	}
	if err != nil {
		return done, explain(err)
	}
	return done, nil
}

// explain adds what a person can do.
func explain(err error) error {
	remedy := "azure-vnet doctor says what is wrong, and what to do"
	if e := cni.ErrorOf(err, netplugin.Codes); e.Details != "" && !errors.Is(err, network.ErrDifference) {
		remedy = e.Details
	}
	return fmt.Errorf("%w; remedy: %s", err, remedy)
}

// logRepair writes the line for the log of the plugin.
func logRepair(d *doctor.Examination, done manager.Repaired, err error, took time.Duration) {
	logger, closer, _ := netplugin.OpenLog(d.LogFile, d.LogLevel()) // without a file it is on standard error
	defer func() { _ = closer.Close() }()
	attrs := []any{slog.String("command", "repair"), slog.String("repaired", strings.Join(done.Right, "; ")),
		slog.Duration("duration", took.Round(time.Microsecond))}
	if err != nil {
		logger.Error("failed", append(attrs, slog.String("error", err.Error()))...)
		return
	}
	logger.Info("done", attrs...)
}
