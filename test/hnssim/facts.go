package hnssim

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/Azure/azure-container-networking/install/selftest"
)

// recorded has what selftest found out on a real Windows, if anybody has sent it: see its README.
//
//go:embed recorded
var recorded embed.FS

// Recording is the file below recorded that a server answers by unless its options say otherwise.
const Recording = "recorded/ltsc2022.json"

// Facts are those of the recording, and guesses where there is none.
func Facts() selftest.Facts {
	f := guessed()
	text, err := recorded.ReadFile(Recording)
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		panic(fmt.Errorf("test/hnssim/%s: %w", Recording, err))
	}
	return f
}

// ReadFacts reads what selftest has printed. What it does not have is guessed.
func ReadFacts(file string) (f selftest.Facts, err error) {
	f = guessed()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	return f, err
}

// guessed is what we know of Windows, and believe of the rest: docs/windows.md tells them apart.
func guessed() selftest.Facts {
	f := selftest.Facts{
		Windows: "10.0.20348", HNS: selftest.Version{Major: 13, Minor: 3},
		Answers: map[selftest.Case]selftest.Answers{}, Private: map[selftest.Case]selftest.Answers{},
		EndpointsGo: true, V1States: selftest.States{Free: stateCreated, Attached: stateAttached},
		Restart: &selftest.Kept{NetworkV1: true, EndpointV1: true, NetworkV2: true, EndpointV2: true, AttachedV2: true},
		Reboot:  &selftest.Kept{NetworkV1: true, EndpointV1: true},
	}
	f.Capitals.V1, f.Capitals.V2 = true, true
	for c, code := range map[selftest.Case]selftest.HRESULT{
		selftest.MissingNetwork: NetworkNotFound, selftest.MissingEndpoint: EndpointNotFound, selftest.MissingAdapter: AdapterNotFound,
		selftest.NetworkTwice: NetworkExists, selftest.AddressTaken: AddressReserved, selftest.AddressForeign: InvalidIP,
		selftest.PortTaken: PortExists, selftest.ACLTwice: PolicyExists,
	} {
		// Since Windows Server 2019 v1 fails as any call does, without a response (moby#47576).
		f.Answers[c] = selftest.Answers{V1: &selftest.Answer{HRESULT: code},
			V2: &selftest.Answer{HRESULT: code, Error: words[code], ErrorCode: code}}
	}
	for c, code := range map[selftest.Case]selftest.HRESULT{
		selftest.MissingNamespace: ElementNotFound, selftest.AttachTwice: AlreadyAttached, selftest.DetachTwice: ElementNotFound,
	} {
		f.Answers[c] = selftest.Answers{V2: &selftest.Answer{HRESULT: code, Error: words[code], ErrorCode: code}}
	}
	taken := func(into map[selftest.Case]selftest.Answers, cases ...selftest.Case) {
		for _, c := range cases {
			into[c] = selftest.Answers{V1: &selftest.Answer{}, V2: &selftest.Answer{}}
		}
	}
	taken(f.Answers, selftest.AllowHost, selftest.AllowSwitch, selftest.Destinations, selftest.EndpointTwice, selftest.Nameless,
		selftest.NoLength, selftest.MACTwice)
	for _, c := range []selftest.Case{selftest.NoNextHop, selftest.OtherFamily, selftest.SchemaZero} {
		f.Answers[c] = selftest.Answers{V2: &selftest.Answer{}}
	}
	taken(f.Private, selftest.ACL, selftest.OutBoundNAT, selftest.PortMapping)
	return f
}

// words are HNS's for its codes.
var words = map[selftest.HRESULT]string{
	NetworkNotFound: "The network was not found.", EndpointNotFound: "The endpoint was not found.", ElementNotFound: "Element not found.",
	AdapterNotFound: "The network adapter was not found.", NetworkExists: "The network already exists.",
	AddressReserved: "The IP address is reserved.", InvalidIP: "The IP address is invalid.", PortExists: "The port already exists.",
	PolicyExists: "The policy already exists.", AlreadyAttached: "The endpoint is already attached.",
}

// refuse is how HNS answers in a case; nil: it takes what it gets. The text is for who looks at the calls.
func (m *model) refuse(c selftest.Case, format string, args ...any) error {
	return answered(m.o.Facts.Answers[c], m.api, format, args...)
}

// strict refuses what Windows may take and a plugin of ours never sends.
func (m *model) strict(c selftest.Case, code uint32, format string, args ...any) error {
	if !m.o.Lenient {
		return fail(code, format, args...)
	}
	return m.refuse(c, format, args...)
}

func answered(both selftest.Answers, api, format string, args ...any) error {
	a := both.V2
	if api == HNS {
		a = both.V1
	}
	if a == nil || a.Taken() {
		return nil
	}
	code := uint32(a.HRESULT)
	if code == 0 {
		code = uint32(a.ErrorCode)
	}
	if code == 0 {
		code = eFail // v1 says it in words only
	}
	return &hresult{code: code, text: fmt.Sprintf(format, args...), answer: a}
}
