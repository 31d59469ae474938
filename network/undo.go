package network

import (
	"context"
	"errors"
	"slices"
	"time"
)

// UndoTime bounds giving back what a failed command took. It has a context of its own: the command's may
// have run out, which is often why it failed.
const UndoTime = 20 * time.Second

// Undo is a stack of compensations for a command under way.
type Undo struct{ steps []func(context.Context) error }

// Push adds a step; the last one pushed runs first.
func (u *Undo) Push(step func(context.Context) error) { u.steps = append(u.steps, step) }

// Run runs all steps, the last first, whatever each says, and joins err with their errors. The steps that
// failed are in the message: somebody has to know what stayed behind.
func (u *Undo) Run(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), UndoTime)
	defer cancel()
	for _, step := range slices.Backward(u.steps) {
		if uerr := step(ctx); uerr != nil {
			err = errors.Join(err, uerr)
		}
	}
	u.steps = nil
	return err
}
