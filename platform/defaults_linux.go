package platform

const (
	// DefaultDataDir is the folder of the state and lock files. It is emptied by a reboot, as is what the state describes.
	DefaultDataDir = "/var/run"

	// DefaultInterfacesFile lists the host's addresses on Azure Stack (ipam.environment mas).
	DefaultInterfacesFile = "/etc/kubernetes/interfaces.json"

	// ConfDir is where runtimes look for configurations.
	ConfDir = "/etc/cni/net.d"
)

// DefaultLogFile returns the log file of a plugin: /var/log/azure-vnet.log.
func DefaultLogFile(plugin string) string { return "/var/log/" + plugin + ".log" }
