// Package manifest checks what we hand to other people's programs against those programs' own types: the DaemonSet
// against Kubernetes' API, the list of what is in a release against SPDX. It is a module of its own, so that what it
// needs stays out of go.mod.
package manifest
