package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-container-networking/test/node"
)

// bursts measures many ADDs at once: until the last has ended, the slowest, and how many fail.
func (b *bench) bursts(ctx context.Context) error {
	for _, p := range pairs {
		for _, size := range []int{32, 128, 250} {
			if err := b.burst(ctx, p, size); err != nil {
				return fmt.Errorf("%s mode, %d at once: %w", p.mode, size, err)
			}
		}
	}
	return nil
}

func (b *bench) burst(ctx context.Context, p pair, size int) (err error) {
	v, err := b.vms(p, size+10)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if err := v.fill(ctx, 1); err != nil {
		return err
	}
	var all, slowest series
	var failed [2]int
	for n := 0; !enough(n, parts, all); n++ {
		for _, i := range [2]int{n % 2, 1 - n%2} {
			list := v.lists[i]
			pods := make([]*node.Pod, size)
			for n := range pods {
				if pods[n], err = v.nodes[i].NewPod(list); err != nil {
					return err
				}
			}
			took, errs := make([]time.Duration, size), make([]error, size)
			var wg sync.WaitGroup
			begun := time.Now()
			for n, pod := range pods {
				wg.Go(func() {
					errs[n] = pod.Add(ctx)
					took[n] = time.Since(begun)
				})
			}
			wg.Wait()
			all[i] = append(all[i], time.Since(begun).Seconds()*1e3)
			slowest[i] = append(slowest[i], quantile(took, 1).Seconds()*1e3)
			for n, pod := range pods {
				if errs[n] != nil {
					failed[i]++
				}
				wg.Go(func() { errs[n] = errors.Join(pod.Del(ctx), pod.NS.Close()) })
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
	}
	group := fmt.Sprintf("%s mode, %d ADDs at once (reference: %s)", p.mode, size, p.name)
	target := 0.0
	if size == present {
		target = 0.45
	}
	b.report.compare(group, "all", "ms", all[0], all[1], target)
	b.report.compare(group, "the slowest", "ms", slowest[0], slowest[1], 0)
	b.report.Rows = append(b.report.Rows,
		row{Group: group, Measure: "failures in all bursts", Unit: "number", Ours: float64(failed[0]), Reference: float64(failed[1])})
	if failed[0] > 0 {
		return fmt.Errorf("%d ADDs failed", failed[0])
	}
	return nil
}
