package main

import (
	"strings"

	"github.com/Azure/azure-container-networking/platform"
)

// remoteARP says whether HNS is told the fabric's MAC as on Azure's own nodes, and tells it if that is wanted.
func remoteARP(set bool) (told bool, err error) {
	has, err := platform.RemoteARPMAC()
	if err != nil || strings.EqualFold(has, platform.FabricMAC) {
		return err == nil, err
	}
	if !set {
		return false, nil
	}
	return false, platform.SetRemoteARPMAC()
}

// restrict is what Azure's own nodes do: users may read and execute.
func restrict(dir string) error { return platform.Restrict(dir, platform.UsersRead) }

func writers(dir string) ([]string, error) { return platform.Writers(dir) }
