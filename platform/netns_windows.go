package platform

// NamespaceNumber is 0: on Windows a namespace has no number that tells whether it is there.
func NamespaceNumber(string) uint64 { return 0 }

// GoneNamespaces are none.
func GoneNamespaces([]uint64) (map[uint64]bool, error) { return nil, nil } //nolint:nilnil // there are none
