package hnssim

import (
	"strings"
)

// hcs carries out what hcsshim's HotAttachEndpoint and HotDetachEndpoint ask of the Host Compute Service.
func (m *model) hcs(c *Call) (any, error) {
	if !m.systems[c.ID] {
		return nil, fail(SystemNotFound, "container %s was not found", c.ID)
	}
	switch c.Op {
	case Open:
		return nil, nil
	case Query:
		return map[string]any{"Id": c.ID, "SystemType": "Container", "Owner": "docker", "State": "Running"}, nil
	case Modify:
		var r struct {
			ResourceType, RequestType string
			Settings                  string // ID of the endpoint
		}
		if err := decode(c.Body, &r); err != nil {
			return nil, err
		}
		if r.ResourceType != "Network" || r.RequestType != "Add" && r.RequestType != "Remove" {
			return nil, fail(Unsupported, "%s %s", r.RequestType, r.ResourceType)
		}
		e := m.endpoints[strings.ToLower(r.Settings)]
		if e == nil {
			return nil, m.missing(KindEndpoint)
		}
		return nil, m.attachV1(e, attachment{ContainerID: c.ID, SystemType: "Container"}, r.RequestType == "Add")
	}
	return nil, fail(eNotImpl, "%s %s", c.Op, c.Kind)
}
