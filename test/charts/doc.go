// Package charts renders what operators apply to a cluster by kustomize's and helm's own libraries, and compares the
// two. It is a module of its own, so that what they need stays out of go.mod.
package charts
