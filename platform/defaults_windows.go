package platform

const (
	// DefaultDataDir is the folder of the state and lock files, where Kubernetes nodes on Azure keep their files.
	DefaultDataDir = `C:\k`

	// DefaultInterfacesFile lists the host's addresses on Azure Stack (ipam.environment mas).
	DefaultInterfacesFile = `C:\k\interfaces.json`

	// ConfDir is where containerd looks for configurations.
	ConfDir = `C:\Program Files\containerd\cni\conf`
)

// DefaultLogFile returns the log file of a plugin: C:\k\azure-vnet.log.
func DefaultLogFile(plugin string) string { return `C:\k\` + plugin + ".log" }
