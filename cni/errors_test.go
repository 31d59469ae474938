package cni_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
)

var (
	errExists  = errors.New("endpoint exists already")
	errMaster  = errors.New("master interface not usable")
	errUnknown = errors.New("something else")
	table      = []cni.Code{{Err: errExists, Code: 103, Remedy: "DEL it first"}, {Err: errMaster, Code: 102}}
	ipamError  = types.NewError(100, "no free address", "assign more")
)

func TestErrorOf(t *testing.T) {
	t.Parallel()
	_, noFile := os.Open("/nowhere")
	for name, test := range map[string]struct {
		err  error
		want types.Error
	}{
		"an error of the table": {errExists, types.Error{Code: 103, Msg: "endpoint exists already", Details: "DEL it first"}},
		"wrapped, with its whole text": {fmt.Errorf("add pod: %w", errExists),
			types.Error{Code: 103, Msg: "add pod: endpoint exists already", Details: "DEL it first"}},
		"without a remedy":           {errMaster, types.Error{Code: 102, Msg: "master interface not usable"}},
		"a CNI error stays as it is": {ipamError, *ipamError},
		"a wrapped one keeps code and details": {fmt.Errorf("ipam: %w", ipamError),
			types.Error{Code: 100, Msg: "ipam: no free address; assign more", Details: "assign more"}},
		"the first of several": {errors.Join(errMaster, errExists),
			types.Error{Code: 102, Msg: "master interface not usable\nendpoint exists already"}},
		"the failure, not that of the undo": {errors.Join(errMaster, ipamError),
			types.Error{Code: 102, Msg: "master interface not usable\nno free address; assign more"}},
		"the failure, deep in what was undone": {errors.Join(fmt.Errorf("add: %w", fmt.Errorf("%w: %w", errMaster, errUnknown)), ipamError),
			types.Error{Code: 102, Msg: "add: master interface not usable: something else\nno free address; assign more"}},
		"the undo's, if the failure has none": {errors.Join(errUnknown, ipamError),
			types.Error{Code: 100, Msg: "something else\nno free address; assign more", Details: "assign more"}},
		"the table's before the deadline's": {fmt.Errorf("%w: %w", errMaster, context.DeadlineExceeded),
			types.Error{Code: 102, Msg: "master interface not usable: context deadline exceeded"}},
		"out of time": {fmt.Errorf("ask: %w", context.DeadlineExceeded),
			types.Error{Code: 11, Msg: "ask: context deadline exceeded", Details: "the command ran out of time; the runtime will try again"}},
		"stopped": {context.Canceled,
			types.Error{Code: 11, Msg: "context canceled", Details: "the command ran out of time; the runtime will try again"}},
		"a file": {fmt.Errorf("read: %w", noFile),
			types.Error{Code: 5, Msg: "read: open /nowhere: " + errors.Unwrap(noFile).Error()}},
		"no space":                  {fmt.Errorf("write: %w", syscall.ENOSPC), types.Error{Code: 5, Msg: "write: no space left on device"}},
		"anything else is a defect": {errUnknown, types.Error{Code: 999, Msg: "something else"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, *cni.ErrorOf(test.err, table)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestUnavailableIsCode50(t *testing.T) {
	t.Parallel()
	if err := cni.Unavailable(nil, nil); err != nil {
		t.Error(err)
	}
	var e *types.Error
	if err := cni.Unavailable(errMaster, nil); !errors.As(err, &e) || e.Code != 50 || e.Msg != "not ready: master interface not usable" {
		t.Error(err)
	}
}
