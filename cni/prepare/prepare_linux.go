package prepare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Prepare writes what the node needs, takes away what only another mode needed, and lets those who read the files know,
// as far as the node is this machine. dry only says what it would do. Each step is said. Errors: a file that could not
// be written; the others are written all the same.
func (n Node) Prepare(ctx context.Context, dry bool, say func(string, ...any)) error {
	release, err := lock(n.Root)
	if err != nil {
		return err
	}
	defer release()
	if !dry {
		err = sweep(n.Root)
	}
	plan := n.plan()
	gone, derr := n.drop(dry, say, func(path string) bool {
		// The files of a mode stay as long as its bridge is there, whatever the configuration says by now.
		return n.Bridge != "" || slices.ContainsFunc(plan, func(f file) bool { return f.path == path })
	})
	err = errors.Join(err, derr)
	var wrote []string
	provide := func(late bool) {
		for _, f := range plan {
			if f.late != late {
				continue
			}
			done, werr := n.provide(f, dry, say)
			if werr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", f.path, werr))
			}
			if done {
				wrote = append(wrote, f.path)
			}
		}
	}
	provide(false)
	if !dry {
		n.tell(ctx, wrote, gone, say)
	}
	provide(true)
	return err
}

// Restore takes away all that Prepare has written and nobody has changed since. Error: the host's network is on a
// bridge, which needs these files.
func (n Node) Restore(ctx context.Context, dry bool, say func(string, ...any)) error {
	if n.Bridge != "" {
		return fmt.Errorf("the host's network is on the bridge %s, which needs these files; run azure-vnet cleanup first",
			n.Bridge)
	}
	release, err := lock(n.Root)
	if err != nil {
		return err
	}
	defer release()
	if !dry {
		err = sweep(n.Root)
	}
	gone, derr := n.drop(dry, say, func(string) bool { return false })
	err = errors.Join(err, derr)
	if !dry {
		n.tell(ctx, nil, gone, say)
	}
	if len(gone) == 0 && err == nil {
		say("No file of azure-vnet host prepare is there.")
	}
	return err
}

// provide writes one file, unless it is there.
func (n Node) provide(f file, dry bool, say func(string, ...any)) (wrote bool, err error) {
	is, made, err := look(n.Root, f)
	switch {
	case err != nil:
		return false, err
	case is == same:
		say("%s is there already.", f.path)
		return false, nil
	case is == theirs:
		say("%s is yours and stays. Without it this would be written, so that %s:\n%s", f.path, f.why, indent(f.body))
		return false, nil
	case dry:
		say("would write %s: %s.", f.path, f.why)
		return false, nil
	case is == older:
		err = rewrite(n.Root, f, made)
	default:
		err = write(n.Root, f)
	}
	if err == nil {
		say("wrote %s: %s.", f.path, f.why)
	}
	return err == nil, err
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ")
}

// drop takes away the files of ours that are not kept, the last one first, since the first of a folder has made it.
func (n Node) drop(dry bool, say func(string, ...any), keep func(path string) bool) (gone []string, err error) {
	for _, path := range slices.Backward(places(n.Root)) {
		if keep(path) {
			continue
		}
		if dry {
			b, rerr := os.ReadFile(filepath.Join(n.Root, path))
			if _, _, ours := parse(string(b)); rerr == nil && ours {
				say("would remove %s.", path)
				gone = append(gone, path)
			}
			continue
		}
		removed, rerr := remove(n.Root, path)
		if rerr != nil {
			err = errors.Join(err, rerr)
		} else if removed {
			say("removed %s.", path)
			gone = append(gone, path)
		}
	}
	return gone, err
}

// tell lets the programs that read the files know. In a container nobody can be told, and the next boot does it.
//
// networkd is told of its new files only: it need not know at once that it may manage a bridge which is not there any
// more. Before that, no file is written by which it configures a NIC, and none is there on a host that has its network
// on a bridge already: a reload makes networkd configure such a NIC again, which interrupts the host's network.
func (n Node) tell(ctx context.Context, wrote, gone []string, say func(string, ...any)) {
	if filepath.Clean(n.Root) != "/" {
		return
	}
	if slices.Contains(wrote, modules) && !n.has("/proc/sys/net/bridge") {
		run(ctx, say, "modprobe", "br_netfilter")
	}
	if slices.Contains(wrote, bridgeFile) && n.has("/run/systemd/netif/state") {
		if n.Bridge != "" {
			say("systemd-networkd has to read its files. Since the host's network is on a bridge already, do it yourself: " +
				"networkctl reload; sleep 2; azure-vnet repair")
		} else {
			run(ctx, say, "networkctl", "reload")
		}
	}
	if slices.Contains(append(wrote, gone...), nmFile) && n.has("/run/NetworkManager") {
		run(ctx, say, "nmcli", "general", "reload", "conf")
	}
}

// run says what it does, and what came of it. Nothing fails for it: what was written counts from the next boot on.
func run(ctx context.Context, say func(string, ...any), command ...string) {
	line := strings.Join(command, " ")
	cmd := exec.CommandContext(ctx, find(command[0]), command[1:]...) //nolint:forbidigo // what a person would type
	cmd.Env = []string{"PATH=" + path, "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		say("%s failed (%v %s): it takes effect with the next boot.", line, err, strings.TrimSpace(string(out)))
		return
	}
	say("ran %s.", line)
}

const path = "/usr/sbin:/usr/bin:/sbin:/bin"

// find looks where the system's programs are, whatever PATH says.
func find(program string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return program
}
