// Package selftest asks a Windows for what its documents leave open: how Windows' Host Networking Service answers, and
// what a host shows of itself. It works on networks of type Private of its own, which have no adapter, so it interrupts
// nothing. The answers are one document, [Facts]; the simulated HNS of our tests (test/hnssim) takes its own from it.
package selftest

import (
	"fmt"
	"strconv"
)

// Facts are what a Windows does. What was not found out is absent.
type Facts struct {
	Windows string  `json:"windows,omitempty"` // its build: 10.0.20348
	HNS     Version `json:"hns"`
	// Answers of HNS to what is wrong, or was doubtful.
	Answers map[Case]Answers `json:"answers"`
	// Private says how policies are answered on a network without an adapter. It says nothing of other networks.
	Private map[Case]Answers `json:"private,omitempty"`
	// Capitals says whether GUIDs come in capitals.
	Capitals struct {
		V1 bool `json:"v1"`
		V2 bool `json:"v2"`
	} `json:"capitals"`
	// EndpointsGo says whether deleting a network deletes its endpoints.
	EndpointsGo bool `json:"endpointsGoWithNetwork"`
	// V1States are how v1 lists an endpoint that HCN made.
	V1States States `json:"v1States"`
	// IPv6Neighbor is what came of making a next hop a neighbour in a namespace: ok, or the error.
	IPv6Neighbor string `json:"ipv6Neighbor,omitempty"`
	// Restart of the service hns, Reboot: what is there afterwards.
	Restart *Kept `json:"restart,omitempty"`
	Reboot  *Kept `json:"reboot,omitempty"`
	// Host is what is not of HNS.
	Host *Host `json:"host,omitempty"`
}

// Version of HNS.
type Version struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
}

// Case is something that is wrong with a call, or was doubtful.
type Case string

// The cases. Those that begin with Missing cannot be taken.
const (
	MissingNetwork   Case = "missingNetwork"
	MissingEndpoint  Case = "missingEndpoint"
	MissingNamespace Case = "missingNamespace" // v2
	MissingAdapter   Case = "missingAdapter"   // that a new network is to be behind
	NetworkTwice     Case = "networkTwice"     // of one name
	AddressTaken     Case = "addressTaken"     // by another endpoint
	AddressForeign   Case = "addressForeign"   // to the subnet
	PortTaken        Case = "portTaken"        // of the host
	ACLTwice         Case = "aclTwice"         // the same in one endpoint
	AllowHost        Case = "allowWithoutRuleType"
	AllowSwitch      Case = "allowWithRuleType"
	Destinations     Case = "outBoundNATDestinations" // LoopbackDSR
	AttachTwice      Case = "attachTwice"             // v2, to the same namespace
	DetachTwice      Case = "detachTwice"             // v2

	// What other programs live from, and ours do not need.
	EndpointTwice Case = "endpointNameTwice"
	Nameless      Case = "endpointNameless"
	NoLength      Case = "addressWithoutPrefixLength"
	NoNextHop     Case = "nextHopZero"          // v2: a route by 0.0.0.0
	OtherFamily   Case = "addressOfOtherFamily" // v2: IPv6 where the network has IPv4 only
	MACTwice      Case = "macTwice"
	SchemaZero    Case = "namespaceSchemaZero" // v2: schema version 0.0
)

// The policies of Facts.Private.
const (
	ACL         Case = "acl"
	OutBoundNAT Case = "outBoundNAT"
	PortMapping Case = "portMapping"
)

// Answers of both versions.
type Answers struct {
	V1 *Answer `json:"v1,omitempty"`
	V2 *Answer `json:"v2,omitempty"`
}

// Answer of HNS to one call. The zero Answer says that it was carried out.
type Answer struct {
	HRESULT HRESULT `json:"hresult"`
	// Error and ErrorCode are in the error record of HCN, or in the response of v1.
	Error     string  `json:"error,omitempty"`
	ErrorCode HRESULT `json:"errorCode,omitempty"`
}

// Taken says whether the call was carried out.
func (a Answer) Taken() bool { return a == Answer{} }

func (a Answer) String() string { return fmt.Sprintf("%v %s (%v)", a.HRESULT, a.Error, a.ErrorCode) }

// HRESULT is 0 for success. In JSON it is a string: 0x803b002f.
type HRESULT uint32

func (h HRESULT) String() string { return fmt.Sprintf("0x%08x", uint32(h)) }

// MarshalText implements encoding.TextMarshaler.
func (h HRESULT) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HRESULT) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 32)
	*h = HRESULT(n)
	return err
}

// States of an endpoint of HCN in v1's list.
type States struct {
	Free     int `json:"free"`     // attached to nothing
	Attached int `json:"attached"` // to a namespace
}

// Kept is what outlived an event. The network of v2 was made with flag 8, as the plugin makes it; that of v1 has no
// such flag.
type Kept struct {
	NetworkV1  bool `json:"networkV1"`
	EndpointV1 bool `json:"endpointV1"`
	NetworkV2  bool `json:"networkV2"`
	EndpointV2 bool `json:"endpointV2"`
	AttachedV2 bool `json:"attachedV2"` // the endpoint, to its namespace
}

// Host is what Windows shows of itself. It has no address and no MAC, so that it can be published.
type Host struct {
	Adapters []Adapter `json:"adapters"`
	BootID   string    `json:"bootID"` // platform.BootID
	// ClockKeepsBootID says whether it was the same after the clock had been set.
	ClockKeepsBootID *bool `json:"clockKeepsBootID,omitempty"`
	// RenameOntoOpen is the error of replacing a file that a reader has open. Empty: it was replaced.
	RenameOntoOpen string `json:"renameOntoOpen,omitempty"`
	// RightsOfK is the security descriptor of C:\k, in SDDL. Empty: there is no such folder.
	RightsOfK string `json:"rightsOfK,omitempty"`
	// RemoteARPMAC is SDNRemoteArpMacAddress in the registry. Empty: it is not set.
	RemoteARPMAC string `json:"sdnRemoteArpMacAddress,omitempty"`
}

// Adapter is one of GetAdaptersAddresses.
type Adapter struct {
	Name        string `json:"name"` // vEthernet (Ethernet 2)
	Description string `json:"description"`
	Type        uint32 `json:"type"` // IfType
	Up          bool   `json:"up"`
	// SameMAC is the adapter before it that has the same MAC.
	SameMAC string `json:"sameMAC,omitempty"`
}
