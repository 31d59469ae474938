package quickstart

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v6"
	"github.com/google/go-cmp/cmp"
)

const examples = "../../examples/"

// kinds are the types of Azure's SDK for the resources of the templates.
var kinds = map[string]func() any{
	"Microsoft.Network/networkSecurityGroups":   func() any { return &armnetwork.SecurityGroup{} },
	"Microsoft.Network/publicIPAddresses":       func() any { return &armnetwork.PublicIPAddress{} },
	"Microsoft.Network/natGateways":             func() any { return &armnetwork.NatGateway{} },
	"Microsoft.Network/virtualNetworks":         func() any { return &armnetwork.VirtualNetwork{} },
	"Microsoft.Network/networkInterfaces":       func() any { return &armnetwork.Interface{} },
	"Microsoft.Compute/virtualMachines":         func() any { return &armcompute.VirtualMachine{} },
	"Microsoft.Compute/virtualMachineScaleSets": func() any { return &armcompute.VirtualMachineScaleSet{} },
}

type template struct {
	Schema         string `json:"$schema"`
	ContentVersion string `json:"contentVersion"`
	Parameters     map[string]json.RawMessage
	Resources      []map[string]any
}

func readTemplate(t *testing.T, file string) (tpl template, text string) {
	t.Helper()
	b, err := os.ReadFile(examples + file)
	if err != nil {
		t.Fatal(err)
	}
	if err = json.Unmarshal(b, &tpl); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return tpl, string(b)
}

// evaluated puts values in the place of the few expressions that are no text, and makes one of what is copied.
func evaluated(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if copies, ok := v["copy"].([]any); ok {
			delete(v, "copy")
			for _, c := range copies {
				c := c.(map[string]any)
				v[c["name"].(string)] = []any{c["input"]}
			}
		}
		for key, value := range v {
			switch text, _ := value.(string); {
			case key == "primary" && strings.HasPrefix(text, "[equals("):
				v[key] = true
			case key == "capacity":
				v[key] = 2.0
			case strings.HasPrefix(text, "[if("):
				v[key] = map[string]any{"id": text}
			default:
				v[key] = evaluated(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = evaluated(v[i])
		}
	}
	return v
}

// Each resource says nothing that Azure's SDK does not know: what is read by its type and written again is the same.
func TestARMTemplates(t *testing.T) {
	for _, file := range []string{"arm/nodes.json", "arm/vmss.json"} {
		tpl, text := readTemplate(t, file)
		if tpl.Schema != "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#" || tpl.ContentVersion == "" {
			t.Errorf("%s: it is no deployment template: %s", file, tpl.Schema)
		}
		for _, m := range regexp.MustCompile(`parameters\('(\w+)'\)`).FindAllStringSubmatch(text, -1) {
			if tpl.Parameters[m[1]] == nil {
				t.Errorf("%s: parameter %s is not defined", file, m[1])
			}
		}
		for name := range tpl.Parameters {
			if !strings.Contains(text, "parameters('"+name+"')") {
				t.Errorf("%s: parameter %s is not used", file, name)
			}
		}
		named := map[string]bool{}
		for _, r := range tpl.Resources {
			named[fmt.Sprintf("%s %s", r["type"], r["name"])] = true
		}
		for _, m := range regexp.MustCompile(`resourceId\('([\w./]+)', '([\w-]+)'(?:, '([\w-]+)')?\)`).FindAllStringSubmatch(text, -1) {
			if kind, ok := strings.CutSuffix(m[1], "/subnets"); !named[kind+" "+m[2]] && (file == "arm/nodes.json" || !ok) {
				t.Errorf("%s: nothing is %s %s", file, m[1], m[2])
			}
		}
		for _, r := range tpl.Resources {
			kind, name := r["type"].(string), r["name"].(string)
			if kinds[kind] == nil || r["apiVersion"] == "" {
				t.Errorf("%s: %s %s is unknown", file, kind, name)
				continue
			}
			for _, ours := range []string{"apiVersion", "dependsOn", "copy"} {
				delete(r, ours)
			}
			b, err := json.Marshal(evaluated(r))
			if err != nil {
				t.Fatal(err)
			}
			typed := kinds[kind]()
			if err = json.Unmarshal(b, typed); err != nil {
				t.Errorf("%s: %s %s: %v", file, kind, name, err)
				continue
			}
			again, err := json.Marshal(typed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parsed(t, b), parsed(t, again)); diff != "" {
				t.Errorf("%s: %s %s has what Azure's SDK does not know:\n%s", file, kind, name, diff)
			}
		}
	}
}

func parsed(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// keysOf are all properties' names.
func keysOf(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			into[k] = true
			keysOf(x, into)
		}
	case []any:
		for _, x := range v {
			keysOf(x, into)
		}
	}
}

// The file for Bicep, which nothing here compiles, has the resources and the properties of the template.
func TestBicepIsTheTemplate(t *testing.T) {
	b, err := os.ReadFile(examples + "bicep/nodes.bicep")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	tpl, _ := readTemplate(t, "arm/nodes.json")
	var want, got []string
	keys := map[string]bool{}
	for _, r := range tpl.Resources {
		want = append(want, fmt.Sprintf("%s@%s", r["type"], r["apiVersion"]))
		for _, ours := range []string{"type", "apiVersion", "dependsOn", "copy"} {
			delete(r, ours)
		}
		keysOf(evaluated(r), keys)
	}
	defined := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^resource (\w+) '([^']+)' = `).FindAllStringSubmatch(text, -1) {
		got = append(got, m[2])
		defined[m[1]] = true
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the resources differ:\n%s", diff)
	}
	body := text[strings.Index(text, "\nresource "):]
	has := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(\w+): `).FindAllStringSubmatch(body, -1) {
		has[m[1]] = true
	}
	if diff := cmp.Diff(keys, has); diff != "" {
		t.Errorf("the properties differ:\n%s", diff)
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:param|var) (\w+)`).FindAllStringSubmatch(text, -1) {
		defined[m[1]] = true
		if strings.Count(text, m[1]) < 2 {
			t.Errorf("%s is not used", m[1])
		}
	}
	for name := range tpl.Parameters {
		if !defined[name] {
			t.Errorf("parameter %s is missing", name)
		}
	}
	for _, m := range regexp.MustCompile(`(?m): (\w+)(?:\.|\[|$)`).FindAllStringSubmatch(body, -1) {
		if !defined[m[1]] && !slices.Contains([]string{"true", "i", "null", "100"}, m[1]) {
			t.Errorf("%s is not defined", m[1])
		}
	}
	for _, pair := range []string{"{}", "[]", "()"} {
		if strings.Count(text, pair[:1]) != strings.Count(text, pair[1:]) {
			t.Errorf("%s are not balanced", pair)
		}
	}
}
