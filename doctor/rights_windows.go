package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/platform"
)

// openToOthers: see platform.Writers.
func openToOthers(path string, _ fs.FileInfo) bool {
	who, err := platform.Writers(path)
	return err == nil && len(who) > 0
}

// system are checks of what only Windows has.
func (d *Examination) system(context.Context) []finding.Finding {
	if d.Networks == nil {
		return nil
	}
	return append(d.rights(), remoteARP()...)
}

// rights looks at the folders whose content SYSTEM believes, or executes.
func (d *Examination) rights() []finding.Finding {
	var wrong []finding.Finding
	for _, dir := range []string{d.DataDir, confDirs[1], installedPrograms} {
		who, err := platform.Writers(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			wrong = append(wrong, finding.Finding{Level: finding.Warning,
				Found: fmt.Sprintf("who may write into %s: %v", dir, err), Remedy: "run doctor as an administrator"})
		} else if len(who) > 0 {
			wrong = append(wrong, finding.Finding{Level: finding.Failure,
				Found: fmt.Sprintf("%s may write into %s, and SYSTEM believes, or executes, what is there",
					strings.Join(who, ", "), dir), Remedy: keepPrivate(dir)})
		}
	}
	return finding.Report("rights", "only administrators write where SYSTEM reads", wrong)
}

// remoteARP looks for what Azure's own nodes all have.
func remoteARP() []finding.Finding {
	const check = "remote-arp"
	has, err := platform.RemoteARPMAC()
	if err != nil {
		return finding.Report(check, "",
			[]finding.Finding{{Level: finding.Warning, Found: err.Error(), Remedy: "run doctor as an administrator"}})
	}
	if !strings.EqualFold(has, platform.FabricMAC) {
		return finding.Report(check, "", []finding.Finding{{
			Level: finding.Warning, Found: fmt.Sprintf(
				"%s is %s, and %s on every node that Azure sets up: packets to other hosts may be lost", platform.RemoteARPValue,
				cmp.Or(has, "not set"), platform.FabricMAC),
			Remedy: fmt.Sprintf(`Set-ItemProperty HKLM:\%s %s %s; Restart-Service -Force hns on a drained node`,
				platform.HNSStateKey, platform.RemoteARPValue, platform.FabricMAC),
		}})
	}
	return finding.Report(check, platform.RemoteARPValue+" is "+has, nil)
}
