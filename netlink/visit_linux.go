package netlink

import (
	"errors"
	"fmt"
	"os"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"golang.org/x/sys/unix"
)

// Visit is a socket in a pod's namespace, which an ADD needs twice. As long as it is open, no other namespace gets the
// numbers of this one.
type Visit struct {
	inPod    *Handle
	dev, ino uint64 // the namespace's
}

// VisitPod opens the socket.
// Error: ErrNetNS.
func VisitPod(path string) (*Visit, error) {
	ns, err := namespace(path)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	dev, ino, err := numbers(ns)
	if err != nil {
		return nil, err
	}
	h, err := openAt(ns)
	if err != nil {
		return nil, err
	}
	return &Visit{h, dev, ino}, nil
}

func numbers(ns wire.Namespace) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(ns), &st); err != nil {
		return 0, 0, fmt.Errorf("identify a network namespace: %w", os.NewSyscallError("fstat", err))
	}
	return st.Dev, st.Ino, nil
}

// Has says whether the namespace has an interface of that name.
func (v *Visit) Has(ifName string) (bool, error) {
	_, err := v.inPod.Index(ifName)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// goOn is the visit's socket, which is the caller's then, or a new one if the visit is over or was elsewhere.
func (v *Visit) goOn(ns wire.Namespace) (*Handle, error) {
	if v == nil || v.inPod == nil {
		return openAt(ns)
	}
	h := v.inPod
	v.inPod = nil
	dev, ino, err := numbers(ns)
	if err == nil && dev == v.dev && ino == v.ino {
		return h, nil
	}
	h.Close()
	return openAt(ns)
}

// End closes the socket, unless somebody has gone on with it.
func (v *Visit) End() {
	if v != nil && v.inPod != nil {
		v.inPod.Close()
		v.inPod = nil
	}
}
