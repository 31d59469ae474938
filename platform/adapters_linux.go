package platform

// AdapterName returns the name: only Windows has two for one adapter.
func AdapterName(name string) string { return name }
