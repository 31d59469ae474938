package ipamplugin

import "github.com/Azure/azure-container-networking/platform"

// interfaceByName is the quick way to one interface.
func interfaceByName(h platform.Host) func(name string) (platform.Interface, bool, error) {
	return h.InterfaceByName
}
