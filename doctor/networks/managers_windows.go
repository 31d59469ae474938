package networks

import (
	"context"

	"github.com/Azure/azure-container-networking/doctor"
)

// managers: nothing manages the host's network beside HNS.
func (*examination) managers(context.Context) []doctor.Finding { return nil }
