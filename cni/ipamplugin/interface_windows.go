package ipamplugin

import "github.com/Azure/azure-container-networking/platform"

// interfaceByName is nil: an adapter can have two names, and be there twice.
func interfaceByName(platform.Host) func(name string) (platform.Interface, bool, error) { return nil }
