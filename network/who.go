package network

import (
	"fmt"
	"maps"
	"slices"
	"sort"
)

// Who names an endpoint for a person.
func (e *Endpoint) Who() string {
	if e.PodName != "" {
		return fmt.Sprintf("pod %s/%s %v (%s)", e.PodNamespace, e.PodName, e.Addresses, e.Owner)
	}
	return fmt.Sprintf("%s %v", e.Owner, e.Addresses)
}

// OwnersOf are the keys of a map, in the order of their names.
func OwnersOf[T any](of map[Owner]T) []Owner {
	list := slices.Collect(maps.Keys(of))
	sort.Slice(list, func(i, j int) bool { return list[i].String() < list[j].String() })
	return list
}
