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
	"golang.org/x/sys/windows/registry"
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
			wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: fmt.Sprintf("who may write into %s: %v", dir, err), Remedy: "run doctor as an administrator"})
		} else if len(who) > 0 {
			wrong = append(wrong, finding.Finding{Level: finding.Failure, Found: fmt.Sprintf("%s may write into %s, and SYSTEM believes, or executes, what is there", strings.Join(who, ", "), dir), Remedy: keepPrivate(dir)})
		}
	}
	return finding.Report("rights", "only administrators write where SYSTEM reads", wrong)
}

// Azure's own nodes all have the MAC by which the fabric answers for addresses of other hosts.
const (
	hnsState     = `SYSTEM\CurrentControlSet\Services\hns\State`
	remoteARPMAC = "12-34-56-78-9a-bc"
	remoteARPKey = "SDNRemoteArpMacAddress"
)

func remoteARP() []finding.Finding {
	const check = "remote-arp"
	has := ""
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, hnsState, registry.QUERY_VALUE)
	if err == nil {
		defer func() { _ = key.Close() }()
		has, _, err = key.GetStringValue(remoteARPKey)
	}
	if err != nil && !errors.Is(err, registry.ErrNotExist) {
		return finding.Report(check, "", []finding.Finding{{Level: finding.Warning, Found: fmt.Sprintf(`HKLM\%s: %v`, hnsState, err), Remedy: "run doctor as an administrator"}})
	}
	if !strings.EqualFold(has, remoteARPMAC) {
		return finding.Report(check, "", []finding.Finding{{
			Level: finding.Warning, Found: fmt.Sprintf("%s is %s, and %s on every node that Azure sets up: packets to other hosts may be lost", remoteARPKey, cmp.Or(has, "not set"), remoteARPMAC),
			Remedy: fmt.Sprintf(`Set-ItemProperty HKLM:\%s %s %s; Restart-Service -Force hns on a drained node`, hnsState, remoteARPKey, remoteARPMAC),
		}})
	}
	return finding.Report(check, remoteARPKey+" is "+has, nil)
}
