package ipam

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/Azure/azure-container-networking/store"
)

// Schema is the version of the state's encoding (schema2.go has the one before).
const Schema = 3

// Reservation is one address in use. The reservations are the records of the state (store.Records), those of the first
// pool first, each in one line:
//
//	{"address":"10.240.0.5","network":"azure","containerID":"4a1f…","ifName":"eth0","created":"2026-11-29T05:50:12Z",
//	 "netnsInode":4026532281}
type Reservation struct {
	Address netip.Addr
	Owner
	Created   time.Time // when the address was given, to the second; zero if that is not known
	Namespace uint64    // inode of the container's network namespace; 0 if that is not known
}

// AppendRecords implements store.Records.
func (s *AddressSpace) AppendRecords(b []byte, line func([]byte) []byte) []byte {
	for i, p := range s.Pools {
		for j := range p.Reservations {
			b = p.Reservations[j].append(line(b), i)
		}
	}
	return b
}

// append appends the reservation as JSON, with the number of its pool unless that is the first one.
func (r *Reservation) append(b []byte, pool int) []byte {
	b = append(r.Address.AppendTo(append(b, `{"address":"`...)), '"')
	if pool > 0 {
		b = strconv.AppendInt(append(b, `,"pool":`...), int64(pool), 10)
	}
	b = store.AppendString(append(b, `,"network":`...), r.Network)
	b = store.AppendString(append(b, `,"containerID":`...), r.ContainerID)
	b = store.AppendString(append(b, `,"ifName":`...), r.IfName)
	if !r.Created.IsZero() {
		b = append(r.Created.UTC().AppendFormat(append(b, `,"created":"`...), time.RFC3339), '"')
	}
	if r.Namespace != 0 {
		b = strconv.AppendUint(append(b, `,"netnsInode":`...), r.Namespace, 10)
	}
	return append(b, '}')
}

// stored is a reservation and the number of its pool.
type stored struct {
	Reservation
	pool int64
}

// ParseRecord implements store.Records: a *stored.
func (s *AddressSpace) ParseRecord(object *store.Reader) (any, error) {
	r := &stored{}
	object.Object(func(name string) {
		switch name {
		case "address":
			r.Address = store.Read(object, netip.ParseAddr)
		case "pool":
			r.pool = object.Int()
		case "network":
			r.Network = object.String()
		case "containerID":
			r.ContainerID = object.String()
		case "ifName":
			r.IfName = object.String()
		case "created":
			r.Created = store.ReadTime(object)
		case "netnsInode":
			r.Namespace = uint64(object.Int())
		default:
			object.Skip()
		}
	})
	if object.Err() == nil && (!r.Address.IsValid() || r.Address.Zone() != "") {
		return nil, fmt.Errorf("a reservation of %s without an address", r.Owner)
	}
	return r, object.Err()
}

// EnterRecord implements store.Records: it gives a pool one of its reservations.
func (s *AddressSpace) EnterRecord(record any, _ string) error {
	r, _ := record.(*stored)
	if r.pool < 0 || r.pool >= int64(len(s.Pools)) {
		return fmt.Errorf("the reservation of %s is of pool %d, and there are %d", r.Address, r.pool, len(s.Pools))
	}
	p := s.Pools[r.pool]
	p.Reservations = append(p.Reservations, r.Reservation)
	return nil
}

// enter notes the container's namespace; 0 is none that is known.
func (r *Reservation) enter(namespace uint64) {
	if namespace != 0 {
		r.Namespace = namespace
	}
}
