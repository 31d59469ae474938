package ipam

import (
	"errors"
	"fmt"
)

// Errors of an allocation. Each is wrapped with what it is about.
var (
	// ErrExhausted: the pool has no free address. The message says pool, size and use.
	ErrExhausted = errors.New("no free address")
	// ErrNoPool: no interface of this host matches what the source lists, or none that was asked for.
	ErrNoPool = errors.New("no address pool")
	// ErrNotListed: the address that was asked for is not one that Azure assigned to this host.
	ErrNotListed = errors.New("not an address of this host's pools")
	// ErrInUse: the address that was asked for has another owner.
	ErrInUse = errors.New("address in use")
	// ErrOnHost: the host itself has the address that was asked for, or that the owner holds. The message says on which
	// interface.
	ErrOnHost = errors.New("the host itself has the address")
	// ErrFull is ErrExhausted where containers hold what there is: the node has as many as it can have.
	ErrFull = fmt.Errorf("%w", ErrExhausted)
	// ErrOnlyOnHost is ErrExhausted where the host itself has what is free. The message says how many on which interface.
	ErrOnlyOnHost = fmt.Errorf("%w but what the host itself has", ErrExhausted)
	// ErrNotReserved: CHECK found no reservation of this owner.
	ErrNotReserved = errors.New("no address is reserved")
	// ErrNoneAssigned: the source knows this VM's NICs, and no address on them that is for containers.
	ErrNoneAssigned = fmt.Errorf("%w: no NIC of this VM has secondary addresses", ErrNoPool)
	// ErrForeign is ErrNoPool where the source lists NICs, and not one that this host has.
	ErrForeign = fmt.Errorf("%w", ErrNoPool)
	// ErrElsewhere is ErrNotListed where another pool has the address than the one that the network is bound to.
	ErrElsewhere = errors.New("an address of another pool")
	// ErrSearch: it is not known which addresses containers use, so that none may be given.
	ErrSearch = errors.New("the search for addresses in use was not complete")
)
