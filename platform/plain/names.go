package plain

import "slices"

// All is no limit for Names.
const All = -1

// Names are those of what is in a folder, ordered, at most so many. What could be read before an error is returned,
// too.
func Names(folder string, limit int) ([]string, error) {
	f, err := openFolder(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	names, err := f.Readdirnames(limit)
	slices.Sort(names)
	return names, err
}
