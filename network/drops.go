package network

// Drop is how many frames of pods a rule has dropped.
type Drop struct {
	Name    string // the bridge, or in transparent mode the master
	Reason  string
	Packets uint64
}
