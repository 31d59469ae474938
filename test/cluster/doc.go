// Command cluster runs Kubernetes on virtual machines of the simulated fabric, with the built plugins as its network, and has it judged by
// Kubernetes' own end-to-end tests: "make test-cluster".
//
// Nothing of Kubernetes is changed: its programs and its tests are built from the module proxy (test/cluster/kubernetes). A node is a VM of
// test/fabric with a Debian of its own, with containerd, a kubelet, kube-proxy, and the plugins as the installer puts them there. The
// network of the whole cluster is in namespaces; so are its processes, mounts and cgroups. When this process ends, however it does, they
// all end.
package main
