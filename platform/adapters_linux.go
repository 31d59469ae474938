package platform

// AdapterName returns the name: only Windows has two for one adapter.
func AdapterName(name string) string { return name }

// SameAdapter says whether two names are one adapter's.
func SameAdapter(a, b string) bool { return a == b }
