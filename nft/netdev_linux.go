package nft

import (
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/google/nftables"
)

// The netdev family does what the bridge family does, for kernels that lack the latter (Azure Linux 3): it sees frames
// before the bridge gets them and after it sent them, device by device. So each pod has a chain of its own, which does
// nothing but jump to the common one.

// bridgeFamily is set to "no" by the build of "make test-e2e DATAPLANE=netdev", which then behaves as on a kernel
// without the bridge family.
var bridgeFamily = "yes"

func (r Rules) netdevHooks(others string) []chain {
	in, out := r.base("in", nftables.ChainHookIngress, 0,
		newRule("from the fabric: arrives by "+r.Master+others, jump(r.chainName("from-fabric")))),
		r.base("out", nftables.ChainHookEgress, 0,
			newRule("to the fabric: leaves by "+r.Master, jump(r.chainName("to-fabric"))))
	in.Device, out.Device = r.Master, r.Master
	return []chain{in, out}
}

// podChain is where a pod's frames begin.
func (s Scope) podChain(port, comment string) chain {
	c := s.base(port, nftables.ChainHookIngress, 0, rule{comment, jump(s.chainName("from-pod"))})
	c.Device = port
	return c
}

// ofPod says whether a chain is one of podChain's.
func (s Scope) ofPod(c *nftables.Chain) bool {
	return s.Family == FamilyNetdev && strings.HasPrefix(c.Name, s.chainName(azure.HostVethPrefix))
}

// PodChainInPlace says whether what the pod sends passes the rules.
func (n *Conn) PodChainInPlace(e Element) bool {
	c := e.podChain(e.Port, e.Comment)
	have, err := n.library().GetRules(c.Table, &c.Chain)
	return err == nil && len(have) == 1 && commentOf(have[0]) == c.rules[0].comment()
}
