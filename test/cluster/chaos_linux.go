package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// chaos lets all of it happen and prints how long nobody was answered. After each event the pods of both nodes are to have what they had.
func (c *cluster) chaos(ctx context.Context, cell cell, only *regexp.Regexp) error {
	askers, end, err := c.askers(ctx)
	if err != nil {
		return err
	}
	defer end()
	var errs []error
	for _, e := range events(cell) {
		if !only.MatchString(e.name) {
			continue
		}
		for _, a := range askers {
			a.reset()
		}
		took, err := c.happen(ctx, e)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("%s: %w", e.name, err))...)
		}
		for _, a := range askers {
			gap, err := a.after(ctx)
			fmt.Printf("%s  %-46s  %-29s  %6.2f s without an answer, in %.1f s\n", cell, e.name, a.name, gap.Seconds(), took.Seconds())
			limit := e.limit
			if a.there && e.there != 0 {
				limit = e.there
			}
			if err == nil && gap > limit {
				err = fmt.Errorf("%s: %s had no answer for %v, the limit is %v", e.name, a.name, gap, limit)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// happen lets an event happen, and waits until the pods have what they are to have.
func (c *cluster) happen(ctx context.Context, e event) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("given up after five minutes"))
	defer cancel()
	began := time.Now()
	if err := e.make(ctx, c); err != nil {
		return 0, err
	}
	took = time.Since(began)
	for _, w := range c.workers {
		if err := c.whole(ctx, w); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// after waits until there are answers again, and says how long there were none.
func (a *asker) after(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("a minute is over"))
	defer cancel()
	if err := a.move(ctx); err != nil {
		return 0, err
	}
	return a.settled(ctx)
}
