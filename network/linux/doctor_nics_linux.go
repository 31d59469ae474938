package linux

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
)

// examinePolicy is doctor's. On a host with one NIC it has nothing to say.
func examinePolicy(k *kernel, n *view, b netlink.Bridge) []finding.Finding {
	policy, err := n.policy(k, b)
	if err == nil {
		err = checkPolicy(k, policy)
	}
	var wrong []finding.Finding
	switch {
	case errors.Is(err, network.ErrDifference):
		wrong = append(wrong, finding.Finding{Level: finding.Failure,
			Found: fmt.Sprintf("of several NICs pods of %s need policy rules (ip rule), which are not in place: the host "+
				"sends what is theirs by another NIC, where Azure drops it", n.Master), Remedy: network.RepairCommand})
	case err != nil:
		wrong = append(wrong, finding.Finding{Level: finding.Failure, Found: err.Error(), Remedy: network.RepairCommand})
	case n.other == "":
		return nil
	}
	wrong = append(wrong, examineAnswers(n, policy)...)
	return finding.Report("routing", fmt.Sprintf("pods of %s leave by it, and answers for %s by that", n.Master, n.other),
		wrong)
}

// examineAnswers is about host ports, node ports and load balancers of NICs beyond the second: their answers would
// leave by the wrong one.
func examineAnswers(n *view, p netlink.Policy) (out []finding.Finding) {
	for _, name := range p.Listens {
		if name != n.other {
			out = append(out, finding.Finding{Level: finding.Warning,
				Found: fmt.Sprintf("host ports and services at the addresses of %s do not answer for pods of %s: answers can "+
					"leave by %s and %s only", name, n.Master, n.Master, n.other),
				Remedy: "let clients use the addresses of " + n.other})
		}
	}
	return out
}
