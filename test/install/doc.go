// Package install tries the installers, the packages and the upgrades on simulated nodes: a VM of the fabric whose root
// is a userland made of packages (a Debian, an Ubuntu, and busybox alone), so that they write to /opt/cni/bin and /etc/cni/net.d
// as they do on a real one, and nothing of the machine is touched.
package install
