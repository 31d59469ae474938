package platform

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"golang.org/x/sys/windows/registry"
)

// Azure's own nodes (AgentBaker, aks-engine) all tell HNS the MAC by which the fabric answers for addresses of other
// hosts, in this value of the registry, and restart the service hns.
const (
	// HNSStateKey is below HKEY_LOCAL_MACHINE.
	HNSStateKey = `SYSTEM\CurrentControlSet\Services\hns\State`
	// RemoteARPValue is the value's name.
	RemoteARPValue = "SDNRemoteArpMacAddress"
)

// FabricMAC is what the value is to be.
var FabricMAC = strings.ReplaceAll(azure.FabricMAC.String(), ":", "-")

// RemoteARPMAC is the value; empty if it is not set.
func RemoteARPMAC() (string, error) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, HNSStateKey, registry.QUERY_VALUE)
	if err == nil {
		defer func() { _ = key.Close() }()
		var has string
		if has, _, err = key.GetStringValue(RemoteARPValue); err == nil {
			return has, nil
		}
	}
	if errors.Is(err, registry.ErrNotExist) {
		return "", nil
	}
	return "", fmt.Errorf(`HKLM\%s: %w`, HNSStateKey, err)
}

// SetRemoteARPMAC sets the value to FabricMAC. HNS reads it when the service starts.
func SetRemoteARPMAC() error {
	key, _, err := registry.CreateKey(registry.LOCAL_MACHINE, HNSStateKey, registry.SET_VALUE)
	if err == nil {
		defer func() { _ = key.Close() }()
		err = key.SetStringValue(RemoteARPValue, FabricMAC)
	}
	if err != nil {
		return fmt.Errorf(`set %s in HKLM\%s: %w`, RemoteARPValue, HNSStateKey, err)
	}
	return nil
}
