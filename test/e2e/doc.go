// Package e2e tests the built binaries with real clients, in namespaces of the simulated fabric. It needs
// root, AZURE_CNI_BIN (the folder of the two plugins) and REFERENCE_CNI_BIN (that of the reference
// plugins); "make test" builds both.
package e2e
