package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/platform"
	"golang.org/x/sys/unix"
)

// ConfDir is where runtimes look for configurations.
const ConfDir = platform.ConfDir

var confDirs = []string{ConfDir}

// loopback is the plugin that containerd calls for each pod, whatever the configuration names.
const loopback = "loopback"

// Privileged says whether this process may look at everything. Error: what it lacks.
func Privileged() error {
	const netAdmin, sysAdmin = 1 << unix.CAP_NET_ADMIN, 1 << unix.CAP_SYS_ADMIN
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	if os.Geteuid() != 0 || data[0].Effective&netAdmin == 0 || data[0].Effective&sysAdmin == 0 {
		return errors.New("root and all its capabilities are needed: run it with sudo, as")
	}
	return nil
}

// writable is about a file.
func writable(path string) error { return unix.Access(path, unix.W_OK) }

// freeSpace is what is left for us, in bytes.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

func openToOthers(_ string, info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// system are checks of what only Windows has.
func (*Examination) system(context.Context) []finding.Finding { return nil }

// releaseCommand is the remedy for addresses of pods on an interface of the host.
func (d *Examination) releaseCommand(string) string {
	return filepath.Join(cni.ProgramDir(), name) + " " + d.releaseArguments()
}

// releaseArguments are those of host release by which it looks where doctor does.
func (d *Examination) releaseArguments() string { return "host release --yes" + d.Where() }
