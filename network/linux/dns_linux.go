package linux

import (
	"context"

	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/resolved"
)

// readDNS reads what systemd-resolved was told for a link; nil if that is nothing. The host's names are not worth a
// pod: a failure is logged, here and in applyDNS.
func (l *Dataplane) readDNS(ctx context.Context, link netlink.Link) resolved.Settings {
	s, err := resolved.Read(ctx, resolved.Bus, link.Index)
	l.warnDNS(link, err)
	return s
}

func (l *Dataplane) applyDNS(ctx context.Context, link netlink.Link, s resolved.Settings) {
	l.warnDNS(link, resolved.Apply(ctx, resolved.Bus, link.Index, s))
}

func (l *Dataplane) warnDNS(link netlink.Link, err error) {
	if err != nil && l.Log != nil {
		l.Log.Warn("the host's DNS settings do not follow its addresses; set them with resolvectl",
			"link", link.Name, "error", err)
	}
}
