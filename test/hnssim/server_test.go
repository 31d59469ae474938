package hnssim

import (
	"strings"
	"testing"
)

func TestAnEndpointIsAttachedOnce(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	network := c.must(Create, KindNetwork, "", networkV2)
	endpoint := c.must(Create, KindEndpoint, network, endpointV2(network))
	namespace, other := c.AddNamespace(), c.AddNamespace()
	attach := func(request string) string {
		return `{"ResourceType":"Endpoint","RequestType":"` + request + `","Settings":{"EndpointId":"` + endpoint + `"}}`
	}
	for _, step := range []struct {
		namespace, request string
		code               uint32
	}{
		{namespace, "Remove", ElementNotFound}, {namespace, "Add", 0}, {namespace, "Add", AlreadyAttached}, {other, "Add", AlreadyAttached},
		{other, "Remove", ElementNotFound}, {namespace, "Remove", 0}, {other, "Add", 0}, {other, "Fly", Unsupported},
	} {
		if code, text := c.call(Modify, KindNamespace, step.namespace, attach(step.request)); code != step.code {
			t.Errorf("%+v: 0x%08X %s", step, code, text)
		}
	}
	if got := c.Endpoints()[0].HostComputeNamespace; !strings.EqualFold(got, other) {
		t.Errorf("the endpoint is in %q", got)
	}
	c.RemoveNamespace(other) // the runtime was faster
	if got := c.Endpoints()[0].HostComputeNamespace; got != "" {
		t.Errorf("the endpoint is in %q", got)
	}
	if code, _ := c.call(Open, KindNamespace, other, ""); code != ElementNotFound {
		t.Errorf("open a namespace that is gone: 0x%08X", code)
	}
	c.must(Delete, KindEndpoint, endpoint, "")
	if code, _ := c.call(Delete, KindEndpoint, endpoint, ""); code != EndpointNotFound {
		t.Errorf("delete what is gone: 0x%08X", code)
	}
}

func TestHotAttachNeedsARunningContainer(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	c.v1("POST", "/networks/", networkV1Doc)
	c.v1("POST", "/endpoints/", endpointV1Doc(c.Networks()[0].ID))
	endpoint := strings.ToUpper(c.Endpoints()[0].ID)
	body := `{"ResourceType":"Network","RequestType":"Add","Settings":"` + endpoint + `"}`
	if code, _ := c.call(Modify, KindSystem, "box", body); code != SystemNotFound {
		t.Errorf("no such container: 0x%08X", code)
	}
	c.AddContainer("box")
	c.must(Modify, KindSystem, "box", body)
	if code, _ := c.call(Modify, KindSystem, "box", body); code != AlreadyAttached {
		t.Errorf("attached again: 0x%08X", code)
	}
	if _, output := c.v1("GET", "/endpoints/"+endpoint, ""); !strings.Contains(output, `"SharedContainers":["box"]`) {
		t.Error(output)
	}
	c.RemoveContainer("box")
	if e := c.Endpoints()[0]; len(e.Containers()) != 0 {
		t.Errorf("attached to %v, which ended", e.Containers())
	}
}

func TestV1AttachesToContainersAndTheHost(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	c.v1("POST", "/networks/", networkV1Doc)
	c.v1("POST", "/endpoints/", endpointV1Doc(c.Networks()[0].ID))
	endpoint := "/endpoints/" + c.Endpoints()[0].ID
	c.AddContainer("box")
	for _, step := range []struct {
		verb, body string
		code       uint32
	}{
		{"attach", `{"ContainerId":"nobody","SystemType":"Container"}`, SystemNotFound},
		{"attach", `{"SystemType":"Container"}`, Unsupported},
		{"detach", `{"ContainerId":"box","SystemType":"Container"}`, ElementNotFound},
		{"attach", `{"ContainerId":"box","SystemType":"Container"}`, 0},
		{"attach", `{"ContainerId":"box","SystemType":"Container"}`, AlreadyAttached},
		{"attach", `{"SystemType":"Host","CompartmentId":1}`, 0},
		{"detach", `{"SystemType":"Host"}`, 0},
		{"detach", `{"ContainerId":"box","SystemType":"Container"}`, 0},
	} {
		if code, _ := c.v1("POST", endpoint+"/"+step.verb, step.body); code != step.code {
			t.Errorf("%+v: 0x%08X", step, code)
		}
	}
}

// Both interfaces show the same objects.
func TestV1AndV2SeeOneHost(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	network := c.must(Create, KindNetwork, "", networkV2)
	c.must(Create, KindEndpoint, network, endpointV2(network))
	_, output := c.v1("GET", "/endpoints/", "")
	for _, part := range []string{`"IPAddress":"10.240.0.5"`, `"PrefixLength":16`, `"GatewayAddress":"10.240.0.1"`, `"DNSSuffix":"a.b"`,
		`"VirtualNetworkName":"azure"`} {
		if !strings.Contains(output, part) {
			t.Errorf("%s is not in %s", part, output)
		}
	}
	if code, _ := c.v1("DELETE", "/networks/"+strings.ToUpper(network), ""); code != 0 {
		t.Errorf("0x%08X", code)
	}
	if n, e := c.Networks(), c.Endpoints(); len(n)+len(e) != 0 {
		t.Errorf("left: %v %v", n, e)
	}
}

func TestARebootDropsWhatIsNotPersistent(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	network := c.must(Create, KindNetwork, "", networkV2)
	c.must(Create, KindEndpoint, network, endpointV2(network))
	kept := c.must(Create, KindNetwork, "", edit(networkV2, `"azure"`, `"kept"`, `"Flags":8,`, ``))
	c.must(Create, KindEndpoint, kept, another(kept))
	namespace := c.AddNamespace()
	c.AddContainer("box")
	c.Reboot()
	if n := c.Networks(); len(n) != 1 || n[0].Name != "kept" {
		t.Errorf("networks: %+v", n)
	}
	if e := c.Endpoints(); len(e) != 1 || e[0].Name != "other" {
		t.Errorf("endpoints: %+v", e)
	}
	if code, _ := c.call(Open, KindNamespace, namespace, ""); code != ElementNotFound {
		t.Errorf("namespace: 0x%08X", code)
	}
	if code, _ := c.call(Open, KindSystem, "box", ""); code != SystemNotFound {
		t.Errorf("container: 0x%08X", code)
	}
}

func TestRulesFailTheCallsThatTheyName(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rule Rule
		want string // networks, then endpoints, of two that are made of each; + done, - failed
	}{
		"each of an operation and a kind": {Rule{Op: Create, Kind: KindEndpoint, Code: eFail}, "++--"},
		"the second of them":              {Rule{Op: Create, Kind: KindEndpoint, Nth: 2, Code: eFail}, "+++-"},
		"the third call":                  {Rule{Nth: 3, Code: eFail}, "++-+"},
		"the first change":                {Rule{Op: AnyChange, Nth: 1, Code: eFail}, "-+++"},
		"another operation":               {Rule{Op: Delete, Code: eFail}, "++++"},
		"without a code":                  {Rule{Op: Create}, "++++"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Options{Lenient: true})
			c.On(test.rule)
			got := ""
			network := ""
			step := func(op, kind, id, body string) {
				code, text := c.call(op, kind, id, body)
				if code == 0 {
					got += "+"
					network = text
				} else {
					got += "-"
				}
			}
			step(Create, KindNetwork, "", networkV2)
			step(Create, KindNetwork, "", edit(networkV2, `"azure"`, `"azure2"`))
			id := network
			step(Create, KindEndpoint, id, endpointV2(id))
			step(Create, KindEndpoint, id, another(id))
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if there := len(c.Networks()) + len(c.Endpoints()); there != strings.Count(test.want, "+") {
				t.Errorf("%d objects", there)
			}
		})
	}
}

func TestACallMayFailAfterItWasCarriedOut(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	c.On(Rule{Op: Create, Kind: KindNetwork, Nth: 1, Code: Timeout, After: true})
	if code, _ := c.call(Create, KindNetwork, "", networkV2); code != Timeout || len(c.Networks()) != 1 {
		t.Errorf("0x%08X, %d networks", code, len(c.Networks()))
	}
	c.Forget()
	if code, _ := c.v1("DELETE", "/networks/"+c.Networks()[0].ID, ""); code != 0 {
		t.Errorf("0x%08X", code)
	}
	if calls := c.Calls(); len(calls) != 1 || calls[0].API != HNS || calls[0].Op != Delete || calls[0].Kind != KindNetwork {
		t.Errorf("calls: %+v", calls)
	}
}

// A call that hangs holds up nobody else, and is carried out in the end.
func TestACallMayHang(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	reached, until := make(chan struct{}), make(chan struct{})
	c.On(Rule{Op: Create, Kind: KindNetwork, Until: until, Reached: reached})
	conn := c.send(Create, KindNetwork, "", networkV2)
	<-reached
	if got := c.must(Enumerate, KindNetwork, "", everything); got != "[]" {
		t.Errorf("networks: %s", got)
	}
	close(until)
	if code, text := c.receive(conn); code != 0 || len(c.Networks()) != 1 {
		t.Errorf("0x%08X %s", code, text)
	}
	if got, want := c.Changes(), "HCN Create Network\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The cleanup of newClient would hang if Close waited for it.
func TestCloseEndsACallThatHangs(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	c := newClient(t, Options{})
	c.On(Rule{Until: make(chan struct{}), Reached: reached})
	conn := c.send(Create, KindNetwork, "", networkV2)
	defer conn.Close()
	<-reached
}
