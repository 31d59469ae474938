package cni

// validateMaster checks "master". "adapterName" means nothing to Linux.
func (n *NetConf) validateMaster() error {
	if n.Master != "" && !isInterfaceName(n.Master) {
		return Invalid("master", n.Master, "not an interface name")
	}
	return nil
}

// programEnds are what a plugin's program may have behind its name.
var programEnds = []string{""}
