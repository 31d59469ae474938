package hns

import (
	"io"
	"log/slog"

	"github.com/sirupsen/logrus"
)

// New makes the data plane for one command.
func New(lockPath string, log *slog.Logger) *Dataplane {
	// hcsshim logs there what it does, and would use standard error. What is asked of HNS, and what it answers, is in our
	// log.
	logrus.SetOutput(io.Discard)
	return &Dataplane{LockPath: lockPath, Limit: HNSLimit, Log: log, v1: hnsV1{}, v2: hcnV2{}}
}
