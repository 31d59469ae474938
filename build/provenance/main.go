// Command provenance says of the files of a release how they were built: a statement of in-toto with SLSA's predicate,
// version 1 (https://slsa.dev/spec/v1.0/provenance). The same files and the same commit give the same bytes.
package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const repository = "https://github.com/Azure/azure-container-networking"

// The parts of the statement that we have something to say about. Names are those of the specification.
type (
	statement struct {
		Type          string     `json:"_type"`
		Subject       []resource `json:"subject"`
		PredicateType string     `json:"predicateType"`
		Predicate     predicate  `json:"predicate"`
	}
	resource struct {
		Name   string            `json:"name,omitempty"`
		URI    string            `json:"uri,omitempty"`
		Digest map[string]string `json:"digest"`
	}
	predicate struct {
		BuildDefinition buildDefinition `json:"buildDefinition"`
		RunDetails      runDetails      `json:"runDetails"`
	}
	buildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []resource        `json:"resolvedDependencies"`
	}
	runDetails struct {
		Builder  builder  `json:"builder"`
		Metadata metadata `json:"metadata"`
	}
	builder struct {
		ID string `json:"id"`
	}
	metadata struct {
		StartedOn string `json:"startedOn"`
	}
)

func main() {
	version := flag.String("version", "", "of the release")
	commit := flag.String("commit", "", "of the checkout; empty if it is in no repository")
	epoch := flag.Int64("time", 0, "of the commit: nothing in a release knows when it was built")
	folder := flag.String("folder", "", "with the release")
	id := flag.String("builder", repository+"/blob/master/docs/install.md#what-a-release-is", "who built it, as a URI")
	flag.Parse()
	s, err := provenance(*folder, *version, *commit, *id, time.Unix(*epoch, 0).UTC())
	if err == nil {
		err = os.WriteFile(filepath.Join(*folder, "provenance.json"), append(s, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "provenance:", err)
		os.Exit(1)
	}
}

func provenance(folder, version, commit, id string, at time.Time) ([]byte, error) {
	subjects, err := subjectsOf(folder)
	if err != nil {
		return nil, err
	}
	s := statement{Type: "https://in-toto.io/Statement/v1", Subject: subjects,
		PredicateType: "https://slsa.dev/provenance/v1"}
	s.Predicate.BuildDefinition = buildDefinition{
		BuildType:          repository + "/blob/master/docs/install.md#what-a-release-is",
		ExternalParameters: map[string]string{"repository": repository, "version": version, "command": "make release"},
		InternalParameters: map[string]string{"go": runtime.Version()},
	}
	if commit != "" {
		s.Predicate.BuildDefinition.ResolvedDependencies = []resource{{URI: "git+" + repository,
			Digest: map[string]string{"gitCommit": commit}}}
	}
	s.Predicate.RunDetails = runDetails{builder{id}, metadata{at.Format(time.RFC3339)}}
	return json.MarshalIndent(s, "", "  ")
}

// subjectsOf are the files of the release, but for sums and signatures.
func subjectsOf(folder string) ([]resource, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var subjects []resource
	for _, e := range entries {
		if n := e.Name(); strings.HasSuffix(n, ".sha256") || strings.HasSuffix(n, ".sha512") || strings.HasPrefix(n,
			"SHA256SUMS") || n == "provenance.json" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, resource{Name: e.Name(),
			Digest: map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(b))}})
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("%s has no file of a release", folder)
	}
	slices.SortFunc(subjects, func(a, b resource) int { return cmp.Compare(a.Name, b.Name) })
	return subjects, nil
}
