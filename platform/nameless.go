package platform

// NamelessPrefix begins what stands for the container's ID of a pod that was found on the host, where nothing tells the
// ID: the host veth's name follows. No runtime names a container so.
const NamelessPrefix = "found."
