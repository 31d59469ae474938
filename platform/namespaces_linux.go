package platform

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// NamespaceAddresses lists the addresses in all network namespaces that are linked to the caller's (by a veth, a
// macvlan …): the containers of this host. It finds namespaces that a process lives in, and those that are
// mounted somewhere, as container runtimes do before the first process is there. It needs root.
//
// A namespace that disappears meanwhile is left out, and so is one that cannot be entered: what it holds is
// reported in the error, after all others were looked at.
func NamespaceAddresses() ([]netip.Addr, error) {
	host, err := wire.OpenNamespace(ownNamespace)
	if err != nil {
		return nil, fmt.Errorf("own network namespace: %w", err)
	}
	defer host.Close()
	paths, err := Namespaces()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	var errs error
	for _, path := range paths {
		found, err := addressesIn(path, host)
		if err != nil && !errors.Is(err, os.ErrNotExist) && exists(path) {
			errs = errors.Join(errs, fmt.Errorf("network namespace %s: %w", path, err))
		}
		addrs = append(addrs, found...)
	}
	return addrs, errs
}

const ownNamespace = "/proc/self/ns/net"

// Namespaces are paths of all network namespaces but the caller's, one for each; of those that are mounted somewhere it
// is that one, which stays when processes end.
func Namespaces() ([]string, error) {
	own, err := namespaceID(ownNamespace)
	if err != nil {
		return nil, fmt.Errorf("own network namespace: %w", err)
	}
	seen := map[nsID]bool{own: true}
	var paths []string
	all, err := namespacePaths()
	if err != nil {
		return nil, err
	}
	for _, path := range all {
		id, err := namespaceID(path)
		if err != nil || seen[id] {
			continue // gone meanwhile, or known
		}
		seen[id] = true
		paths = append(paths, path)
	}
	return paths, nil
}

type nsID struct{ dev, ino uint64 }

func namespaceID(path string) (nsID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nsID{}, err
	}
	return nsID{uint64(st.Dev), st.Ino}, nil //nolint:unconvert // the type differs between architectures
}

// namespacePaths are all names that lead to a network namespace, the mounted ones first; one namespace may have many.
func namespacePaths() (paths []string, err error) {
	processes, err := numbered("/proc") // before the mounts: a runtime mounts a namespace, and ends the process in it
	if err != nil {
		return nil, err
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = mounts.Close() }() // read only: nothing can be lost
	if paths, err = mountedNamespaces(mounts); err != nil {
		return nil, fmt.Errorf("read %s: %w", mounts.Name(), err)
	}
	for _, p := range processes {
		paths = append(paths, p+"/ns/net")
	}
	return paths, nil
}

// mountedNamespaces are the places of a mountinfo at which network namespaces are mounted.
func mountedNamespaces(mountinfo io.Reader) (paths []string, err error) {
	const longest = 1 << 20 // of a line, in bytes: an overlay names hundreds of folders
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		// 36 35 0:4 net:[4026532281] /run/netns/pod rw shared:1 - nsfs nsfs rw (proc(5), mountinfo)
		f := strings.Fields(lines.Text())
		if len(f) > 4 && strings.HasPrefix(f[3], "net:[") {
			paths = append(paths, mountPath.Replace(f[4]))
		}
	}
	return paths, lines.Err()
}

// mountPath undoes what mountinfo does to characters that separate its fields (fs/seq_file.c, mangle_path).
var mountPath = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// addressesIn lists the addresses in the namespace if it is linked to host.
func addressesIn(path string, host wire.Namespace) (addrs []netip.Addr, err error) {
	ns, err := wire.OpenNamespace(path)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = ns.Do(func() (err error) {
		addrs, err = linkedAddresses(host)
		return err
	})
	return addrs, err
}

func linkedAddresses(host wire.Namespace) (addrs []netip.Addr, err error) {
	if linked, err := knows(host); !linked {
		return nil, err
	}
	ifaces, err := Host{}.Interfaces()
	for _, i := range ifaces {
		for _, p := range i.Prefixes {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs, err
}

// knows says whether the calling thread's namespace has an identifier for the other one. The kernel gives it one
// as soon as a link of the one has its other end in the other (net/core/net_namespace.c, RTM_GETNSID).
func knows(other wire.Namespace) (bool, error) {
	const nsid, fd = 1, 3 // NETNSA_NSID, NETNSA_FD: include/uapi/linux/net_namespace.h
	s, err := wire.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer s.Close()
	request := wire.AppendU32(make([]byte, 4), fd, uint32(other)) // struct rtgenmsg, padded
	body, err := s.Get(wire.Request(unix.RTM_GETNSID, 0, request), unix.RTM_NEWNSID)
	if err != nil {
		return false, fmt.Errorf("identifier of a network namespace: %w", err)
	}
	attrs, err := wire.ParseAttrs(body[min(4, len(body)):])
	return attrs.Get(nsid) != nil && int32(attrs.U32(nsid)) >= 0, err
}
