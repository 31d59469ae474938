package selftest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/Azure/azure-container-networking/platform"
	"golang.org/x/sys/windows"
)

// Build is the build of this Windows.
func Build() string {
	v := windows.RtlGetVersion()
	return fmt.Sprintf("%d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)
}

// ThisHost is what this Windows shows of itself.
func ThisHost() (h Host, err error) {
	if h.Adapters, err = adapters(); err != nil {
		return h, fmt.Errorf("adapters: %w", err)
	}
	if h.BootID, err = platform.BootID(); err != nil {
		return h, err
	}
	if h.RenameOntoOpen, err = renameOntoOpen(); err != nil {
		return h, err
	}
	sd, err := windows.GetNamedSecurityInfo(`C:\k`, windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err == nil {
		h.RightsOfK = sd.String()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return h, fmt.Errorf(`rights of C:\k: %w`, err)
	}
	h.RemoteARPMAC, err = platform.RemoteARPMAC()
	return h, err
}

func adapters() (list []Adapter, err error) {
	const flags = windows.GAA_FLAG_SKIP_UNICAST | windows.GAA_FLAG_SKIP_ANYCAST | windows.GAA_FLAG_SKIP_MULTICAST |
		windows.GAA_FLAG_SKIP_DNS_SERVER
	const most = 1 << 20
	var buffer []byte
	for size := uint32(16 << 10); ; {
		buffer = make([]byte, size)
		err = windows.GetAdaptersAddresses(windows.AF_UNSPEC, flags, 0,
			(*windows.IpAdapterAddresses)(unsafe.Pointer(&buffer[0])), &size)
		if err == nil {
			break
		}
		if !errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) || size > most {
			return nil, err
		}
	}
	byMAC := map[string]string{}
	for a := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buffer[0])); a != nil; a = a.Next {
		one := Adapter{
			Name: windows.UTF16PtrToString(a.FriendlyName), Description: windows.UTF16PtrToString(a.Description),
			Type: a.IfType, Up: a.OperStatus == windows.IfOperStatusUp,
		}
		if n := a.PhysicalAddressLength; n > 0 {
			mac := net.HardwareAddr(a.PhysicalAddress[:n]).String()
			if one.SameMAC = byMAC[mac]; one.SameMAC == "" {
				byMAC[mac] = one.Name
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// renameOntoOpen replaces a file that a reader has open, and tells the error.
func renameOntoOpen() (said string, err error) {
	dir, err := os.MkdirTemp("", Prefix)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	to, from := filepath.Join(dir, "to"), filepath.Join(dir, "from")
	for _, file := range []string{to, from} {
		if err = os.WriteFile(file, nil, 0o600); err != nil {
			return "", err
		}
	}
	reader, err := os.Open(to)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(reader.Close(), err) }()
	if rerr := windows.MoveFileEx(wide(from), wide(to), windows.MOVEFILE_REPLACE_EXISTING); rerr != nil {
		said = fmt.Sprintf("%v (%d)", rerr, rerr)
	}
	return said, nil
}
