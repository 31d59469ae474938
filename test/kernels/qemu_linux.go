package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"os/exec"
)

// boot runs a guest to its end, or until ctx ends it. listener gets what comes by its report port; what its kernel says
// goes to a file.
func boot(ctx context.Context, accel, image, root, console string, listener func(io.Reader)) error {
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", // no network card; a panic ends it
		"-accel", accel, "-cpu", "max", "-smp", "2", "-m", "2048",
		"-kernel", image, "-initrd", root, "-append", "console=ttyS0 panic=-1 oops=panic mitigations=off random.trust_cpu=on quiet loglevel=5",
		"-serial", "file:"+console, "-serial", "stdio")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err = cmd.Start(); err != nil {
		return err
	}
	listener(out)
	err = cmd.Wait()
	return cmp.Or(context.Cause(ctx), err)
}
