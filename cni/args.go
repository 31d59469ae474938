package cni

import (
	"github.com/containernetworking/cni/pkg/types"
)

// Args are the CNI_ARGS that the plugins know. All are optional: under cnitool, podman and nerdctl there
// is no Kubernetes that would send them. Keys that are not listed here are ignored with IgnoreUnknown,
// and also without it, as long as they are well-formed (docs/cni.md).
type Args struct {
	types.CommonArgs
	IP                         types.UnmarshallableString
	MAC                        types.UnmarshallableString
	K8S_POD_NAMESPACE          types.UnmarshallableString
	K8S_POD_NAME               types.UnmarshallableString
	K8S_POD_INFRA_CONTAINER_ID types.UnmarshallableString
	K8S_POD_UID                types.UnmarshallableString
}

// ParseArgs reads CNI_ARGS ("K=V;K=V"). A malformed string is code 4.
func ParseArgs(s string) (Args, error) {
	a := Args{CommonArgs: types.CommonArgs{IgnoreUnknown: true}}
	if s == "" {
		return a, nil
	}
	// The embedded IgnoreUnknown is a field of its own for the loader; a runtime that does not send it
	// must not make a key that we do not know (podman's, nerdctl's) an error.
	if err := types.LoadArgs("IgnoreUnknown=true;"+s, &a); err != nil {
		return a, types.NewError(types.ErrInvalidEnvironmentVariables,
			"CNI_ARGS is not a list of KEY=VALUE separated by semicolons: "+s, err.Error())
	}
	return a, nil
}

// Pod is namespace/name of the Kubernetes pod, or empty.
func (a Args) Pod() string {
	if a.K8S_POD_NAME == "" {
		return ""
	}
	return string(a.K8S_POD_NAMESPACE) + "/" + string(a.K8S_POD_NAME)
}
