package platform

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-container-networking/platform/plain"
)

const (
	sysctlRoot = "/proc/sys"
	sysctlSize = 4 << 10 // bytes; the kernel gives a parameter with one read
)

// Sysctl returns a kernel parameter, without the line end. The name comes in path elements, because an interface's name
// may contain dots: Sysctl("net", "ipv4", "conf", "eth0.100", "proxy_arp").
//
// A parameter that the kernel does not have gives fs.ErrNotExist.
func Sysctl(name ...string) (string, error) {
	path, err := sysctlPath(name)
	if err != nil {
		return "", err
	}
	raw, err := head(path, sysctlSize)
	if err != nil {
		return "", fmt.Errorf("read sysctl: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// SetSysctl sets a kernel parameter. A parameter that has the value already is not written: in a container /proc/sys is
// often read-only, which only matters where there is something to change.
func SetSysctl(value string, name ...string) error {
	present, err := Sysctl(name...)
	if err != nil {
		return err
	}
	if present == value {
		return nil
	}
	path, err := sysctlPath(name)
	if err != nil {
		return err
	}
	f, err := plain.Open(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("set sysctl to %q: %w", value, err)
	}
	_, err = f.Write([]byte(value))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("set sysctl to %q: %w", value, err)
	}
	return nil
}

// SysctlNames lists what is in a folder of kernel parameters: parameters that can be set, and folders.
//
// A folder that the kernel does not have gives fs.ErrNotExist.
func SysctlNames(folder ...string) ([]string, error) {
	path, err := sysctlPath(folder)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list sysctls: %w", err)
	}
	var names []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().Perm()&0o222 != 0 || e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// sysctlPath refuses elements that would lead out of /proc/sys: interface names come from the configuration.
func sysctlPath(name []string) (string, error) {
	if len(name) == 0 {
		return "", fmt.Errorf("sysctl without a name")
	}
	for _, e := range name {
		if e == "" || e == "." || e == ".." || strings.ContainsAny(e, "/\x00") {
			return "", fmt.Errorf("sysctl %q: element %q is not a name", name, e)
		}
	}
	return filepath.Join(append([]string{sysctlRoot}, name...)...), nil
}
