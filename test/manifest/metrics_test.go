package manifest

import (
	"bytes"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// What azure-vnet metrics writes, as its own test has it, is read by Prometheus' parser, and its linter finds nothing.
func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../cni/metrics/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 12 {
		t.Errorf("%d families", len(families))
	}
	if h := families["azure_vnet_command_duration_seconds"]; h == nil || len(h.Metric) != 2 || h.Metric[0].Histogram.GetSampleCount() != 3 {
		t.Errorf("the histogram is %v", h)
	}
	if d := families["azure_vnet_dropped_frames_total"]; d == nil || d.Metric[0].Label[1].GetValue() != `an "odd" reason \` {
		t.Errorf("what was dropped is %v", d)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
