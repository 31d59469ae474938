// Package runtimes lets containerd with its CRI plugin, as the kubelet talks to it, use the built plugins: Debian's
// containerd and runc on VMs of the simulated fabric, each with root, state and socket of its own, and images that are
// made here. It is a module of its own, so that what gRPC needs stays out of the plugins' go.mod.
//
// "make test-runtimes" runs it; it needs root and AZURE_CNI_BIN, REFERENCE_CNI_BIN (folders of plugins), CONTAINERD
// (where Debian's packages are unpacked) and PAUSE (the built command pause).
package runtimes
