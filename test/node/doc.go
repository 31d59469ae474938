// Package node is a Kubernetes node as the plugins see it: a VM of the simulated fabric, the built
// binaries, a folder for their state, and libcni as the container runtime. Tests and the demo share it.
package node
