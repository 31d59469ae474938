// Package finding is how checks say what they have found. It imports nothing of ours, so that network, which knows no
// doctor, and doctor, which knows no network, say it alike.
package finding

// Level says how good a finding is.
type Level string

// The levels. Whatever is not OK has a remedy.
const (
	OK      Level = "ok"
	Warning Level = "warning" // something else than pods suffers, or they may
	Failure Level = "failure" // pods have no network, or new ones will not get one
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
	// Owner is set if what was found belongs to an attachment that should not be there any more: its DEL takes it away.
	Owner *Owner `json:"owner,omitempty"`

	// Transient says that a command that is under way may look the same: who finds it looks again.
	Transient bool `json:"-"`
}

// Owner names an attachment.
type Owner struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifName"`
}

// Report is what a check says: what is wrong, or that all is well.
func Report(check, well string, wrong []Finding) []Finding {
	if len(wrong) == 0 {
		return []Finding{{Check: check, Level: OK, Found: well}}
	}
	for i := range wrong {
		wrong[i].Check = check
	}
	return wrong
}
