package quickstart

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// The configuration for Terraform is read by its parser, formatted as terraform fmt does, refers to nothing that it does
// not define, and makes what the template makes. (The provider's schema cannot be had here.)
func TestTerraform(t *testing.T) {
	const file = examples + "terraform/main.tf"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig(text, "main.tf", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if formatted := hclwrite.Format(text); !bytes.Equal(formatted, text) {
		t.Errorf("terraform fmt would change it:\n%s", cmp.Diff(string(text), string(formatted)))
	}
	defined := map[string]bool{}
	var resources []string
	body := f.Body.(*hclsyntax.Body)
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable":
			defined["var."+b.Labels[0]] = true
		case "locals":
			for name := range b.Body.Attributes {
				defined["local."+name] = true
			}
		case "resource":
			defined[b.Labels[0]+"."+b.Labels[1]] = true
			resources = append(resources, b.Labels[0])
		}
	}
	used := map[string]bool{}
	_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
		e, ok := n.(*hclsyntax.ScopeTraversalExpr)
		if !ok || len(e.Traversal) < 2 {
			return nil
		}
		root := e.Traversal.RootName()
		if slices.Contains([]string{"each", "ip_configuration", "w"}, root) {
			return nil
		}
		name := root + "." + e.Traversal[1].(hcl.TraverseAttr).Name
		used[name] = true
		if !defined[name] {
			t.Errorf("line %d: %s is not defined", e.SrcRange.Start.Line, name)
		}
		return nil
	})
	for name := range defined {
		if !used[name] && (len(name) > 4 && name[:4] == "var." || len(name) > 6 && name[:6] == "local.") {
			t.Errorf("%s is not used", name)
		}
	}
	for _, want := range []string{"azurerm_network_security_group", "azurerm_public_ip", "azurerm_nat_gateway", "azurerm_virtual_network",
		"azurerm_network_interface", "azurerm_linux_virtual_machine"} {
		if !slices.Contains(resources, want) {
			t.Errorf("it makes no %s", want)
		}
	}
}
