package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What ginkgo reports of tests that pass, fail, are skipped by the list, by themselves, or are not in focus.
const report = `[{"SpecReports": [
	{"ContainerHierarchyTexts": null, "LeafNodeType": "SynchronizedBeforeSuite", "State": "passed", "NumAttempts": 1},
	{"ContainerHierarchyTexts": ["[net] A"], "LeafNodeType": "It", "LeafNodeText": "passes", "State": "passed", "NumAttempts": 1},
	{"ContainerHierarchyTexts": ["[net] A"], "LeafNodeType": "It", "LeafNodeText": "fails", "State": "failed", "NumAttempts": 1,
	 "Failure": {"Message": "cause\nmore"}},
	{"ContainerHierarchyTexts": ["[net] A"], "LeafNodeType": "It", "LeafNodeText": "hangs", "State": "timedout", "NumAttempts": 1},
	{"ContainerHierarchyTexts": ["[net] A"], "LeafNodeType": "It", "LeafNodeText": "needs the internet", "State": "skipped"},
	{"ContainerHierarchyTexts": ["[net] A"], "LeafNodeType": "It", "LeafNodeText": "needs a cloud", "State": "skipped", "NumAttempts": 1,
	 "Failure": {"Message": "no cloud"}},
	{"ContainerHierarchyTexts": ["[net] A"], "LeafNodeType": "It", "LeafNodeText": "was never begun", "State": "skipped"},
	{"ContainerHierarchyTexts": ["[disk] A"], "LeafNodeType": "It", "LeafNodeText": "is another's", "State": "skipped"}
]}]`

func TestAVerdictIsWhatTheReportSays(t *testing.T) {
	list, err := exceptions("# comment\ninternet # there is none\nbridge: disk # no bridge here\n", cell{"tunnel", "iptables", "ipv4"}, false)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	got, err := read([]byte(report), regexp.MustCompile(`\[net\]`), list)
	if err != nil {
		t.Fatal(err)
	}
	want := verdict{
		passed:  []string{"[net] A passes"},
		failed:  []string{"[net] A fails: failed: cause", "[net] A hangs: timedout: ", "[net] A was never begun: skipped: "},
		skipped: []string{"[net] A needs the internet: there is none", "[net] A needs a cloud: it says itself: no cloud"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(verdict{})); diff != "" {
		t.Error(diff)
	}
}

func TestNoVerdictIsAnError(t *testing.T) {
	stale := []exception{{pattern: regexp.MustCompile("nobody"), reason: "it is gone"}}
	for text, list := range map[string][]exception{
		"not JSON": nil,
		`[]`:       nil,
		report:     stale,
		strings.Replace(report, `"passed"`, `"failed"`, 1): nil,
	} {
		v, err := read([]byte(text), regexp.MustCompile("net"), list)
		if err == nil && len(v.failed) < 4 {
			t.Errorf("%.40q with %v: %+v", text, list, v)
		}
	}
}

func TestAnExceptionHasAReason(t *testing.T) {
	for _, text := range []string{"internet", "internet #", "( # not a pattern"} {
		if list, err := exceptions(text, cell{}, false); err == nil {
			t.Errorf("%q: %v", text, list)
		}
	}
	for _, cell := range table([]string{"transparent", "bridge", "tunnel"}, []string{"iptables", "nftables"}, []string{"ipv4", "dual"}) {
		if _, err := exceptions(skippedText, cell, true); err != nil {
			t.Errorf("%s: %v", cell, err)
		}
	}
}

func TestPoliciesAreTestedWhereSomebodyEnforcesThem(t *testing.T) {
	for _, policies := range []bool{false, true} {
		list, err := exceptions("free: Netpol # nobody enforces policies\n", cell{}, policies)
		if err != nil || (len(list) == 0) != policies {
			t.Errorf("enforced: %t: %v, %v", policies, list, err)
		}
	}
}
