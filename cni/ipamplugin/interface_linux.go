package ipamplugin

import "github.com/Azure/azure-container-networking/platform"

// interfaceByName is the quick way to one interface.
var interfaceByName = platform.InterfaceByName
