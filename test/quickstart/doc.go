// Package quickstart checks what docs/quickstart-kubeadm.md hands to other people's programs against those programs' own
// types and parsers, and runs what of its commands needs neither Azure nor a cluster: examples/README.md lists the files.
// It is a module of its own, so that what it needs stays out of go.mod.
package quickstart
