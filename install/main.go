// Command azure-vnet-install puts the plugins of an unpacked release in place on Windows, goes back to the version
// before, and removes them. scripts/install-cni-plugin.ps1 gets the release and calls it; on Linux
// install-cni-plugin.sh does all of it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const usage = `Puts the Azure VNET CNI plugins in place: install-cni-plugin.ps1 calls this.

Usage:
  azure-vnet-install [--dry-run] [--remote-arp] install VERSION
                                                   the plugins that lie beside this program; --remote-arp sets
                                                   SDNRemoteArpMacAddress as on every node that Azure sets up
  azure-vnet-install [--dry-run] rollback          back to the version before
  azure-vnet-install [--dry-run] uninstall         clean up the host, and remove what was installed
  azure-vnet-install selftest                      find out how this Windows' HNS answers, and print it as JSON
  azure-vnet-install selftest keep FILE            so, into a file; its networks stay there for
  azure-vnet-install selftest after EVENT FILE     find out what EVENT (restart, reboot, clock) has left of them,
                                                   and print all

selftest needs no Azure, and interrupts nothing: its networks have no adapter, and it removes them.
`

// patience is how long a plugin that runs may keep its file from being replaced: Windows does not replace a running
// program. A call of the plugin ends after two minutes at the latest.
const patience = 150 * time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0 done, 1 failed, 2 wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("azure-vnet-install", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = fmt.Fprint(stderr, usage) }
	dry := flags.Bool("dry-run", false, "change nothing, say what would be done")
	arp := flags.Bool("remote-arp", false, "tell HNS the MAC of Azure's network")
	if flags.Parse(args) != nil {
		return 2
	}
	l := layout{
		Bin: `C:\k\azurecni\bin`, Conf: `C:\k\azurecni\netconf`, Store: `C:\k\azurecni\store`, Ext: ".exe",
		State: `C:\k`, Patience: patience, Cleanup: cleanup, Restrict: restrict, Writers: writers,
		RemoteARP: remoteARP, DryRun: *dry, SetARP: *arp,
		Say: func(s string) { _, _ = fmt.Fprintln(stdout, s) },
	}
	self, err := os.Executable()
	switch {
	case err != nil:
	case flags.Arg(0) == "install" && flags.NArg() == 2:
		err = l.install(filepath.Dir(self), flags.Arg(1))
	case flags.Arg(0) == "rollback" && flags.NArg() == 1:
		err = l.rollback()
	case flags.Arg(0) == "uninstall" && flags.NArg() == 1:
		err = l.uninstall()
	case flags.Arg(0) == "selftest" && !*dry && isSelftest(flags.Args()[1:]):
		err = runSelftest(flags.Args()[1:], stdout, stderr)
	default:
		flags.Usage()
		return 2
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "azure-vnet-install: %v\n", err)
		return 1
	}
	return 0
}

// cleanup lets a plugin give the host back what it had. An address that is reserved afterwards is that of a container
// of another network plugin.
func cleanup(plugin, dataDir string) error {
	out, err := exec.Command(plugin, "cleanup", "--yes", "--data-dir", dataDir).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("%s cleanup: %w", plugin, err), errors.New(string(out)))
	}
	ipam := filepath.Join(filepath.Dir(plugin), "azure-vnet-ipam"+filepath.Ext(plugin))
	show := exec.Command(ipam, "show", "-o", "json", "--data-dir", dataDir)
	var stderr bytes.Buffer
	show.Stderr = &stderr
	text, err := show.Output()
	var shown struct{ Pools []struct{ Used int } }
	if err == nil {
		err = json.Unmarshal(text, &shown)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s show: %w", ipam, err), errors.New(stderr.String()))
	}
	for _, p := range shown.Pools {
		if p.Used > 0 {
			return errors.New("azure-vnet-ipam serves another network plugin, whose containers have to go first: " +
				"azure-vnet-ipam show")
		}
	}
	return nil
}
