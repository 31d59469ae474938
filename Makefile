# Azure VNET CNI plugins. "make" builds both of them; "make help" says what else there is.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

# sudo's path knows neither Go's own folder nor, for su, that of ip and nft.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

GOOS   ?= $(shell PATH='$(PATH)' go env GOOS)
GOARCH ?= $(shell PATH='$(PATH)' go env GOARCH)
GOOS   := $(GOOS)
GOARCH := $(GOARCH)
export GOOS GOARCH

# Only this checkout is asked: an archive unpacked inside another repository has no version of its own.
VERSION ?= $(or $(shell git --git-dir=.git describe --tags --always --dirty 2>/dev/null),unknown)

OUTPUT    := output
BIN       := $(OUTPUT)/$(GOOS)_$(GOARCH)
REFERENCE := $(OUTPUT)/reference
TOOLS     := $(OUTPUT)/tools
EXE       := $(if $(filter windows,$(GOOS)),.exe)
MODULE    := github.com/Azure/azure-container-networking

# The same commit gives the same bytes on every machine: no paths, no C library, no build time.
BUILD := go build -trimpath -buildvcs=false
export CGO_ENABLED := 0
# For what runs on the machine that builds, whatever it builds for.
HOST  := env -u GOOS -u GOARCH

PLATFORMS := linux/amd64 linux/arm64 windows/amd64 windows/arm64

# The demo's data path: bridge, tunnel, transparent, or both of the first.
MODE ?= both
# The race detector; RACE= switches it off.
RACE ?= -race
# How many tests of a package run at the same time: many wait for a network manager, a lease or a timer most of the time.
PARALLEL ?= 6
# What go test gets in addition, for example TESTFLAGS='-v -run TestName'.
TESTFLAGS ?=
# Which Go benchmarks, and how often: benchstat compares two runs with COUNT=10. Empty: the table of test/bench, or of its SECTION
# (commands, bursts, ipam, packets).
BENCH ?=
COUNT ?= 1
SECTION ?= .

.DELETE_ON_ERROR:

## Build

.PHONY: all
all: azure-vnet azure-vnet-ipam

# Both plugins of a build have one stamp, by which azure-vnet knows an IPAM plugin whose code it has itself: platform.SameBuild. It is a hash
# of all that they are made of: the sources of both without their paths, the modules, what the linker is told, the system, and Go.
PLUGINS := ./cni/azure-vnet ./cni/azure-vnet-ipam
SOURCES := {{if .Module}}{{if .Module.Main}}{{$$dir := .Dir}}{{range .GoFiles}}{{$$dir}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$$dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}

# The IPAM plugin is to be below 4 MiB: nothing is inlined in it but in the runtime, and functions do not begin at every 32nd byte.
SMALL    := -gcflags=all=-l -gcflags=runtime=
SMALL_LD := -funcalign=8

# $(call plugin,name,folder,what else the linker is told)
define plugin
flags='-s -w -X main.buildVersion=$(VERSION) $(3)'; \
stamp=$$({ go list -deps -f '$(SOURCES)' $(PLUGINS) | tr -s '\n' | xargs -d '\n' cat go.mod go.sum; go env GOOS GOARCH GOVERSION; echo "$$flags $(SMALL) $(SMALL_LD)"; } | sha256sum | cut -c -40); \
$(BUILD) $(if $(filter azure-vnet-ipam,$(1)),$(SMALL)) -ldflags "$$flags $(if $(filter azure-vnet-ipam,$(1)),$(SMALL_LD)) -buildid=azure-vnet/$$stamp" -o $(2)/$(1)$(EXE) ./cni/$(1)
endef

.PHONY: azure-vnet azure-vnet-ipam
azure-vnet: setup-build ## build the network plugin into output/<os>_<arch>/
	$(call plugin,$@,$(BIN))
azure-vnet-ipam: setup-build ## and the address management plugin
	$(call plugin,$@,$(BIN))

include build/release.mk

## Run

.PHONY: demo
demo: require-root setup-demo azure-vnet azure-vnet-ipam ## two simulated VMs, four pods, who reaches whom; MODE=bridge|tunnel|transparent|both; needs root
	go run ./test/demo -bin $(BIN) -mode $(MODE)

## Verify

# How long the soak lasts, and which random numbers it takes: without SEED others each time, which it prints.
MINUTES ?= 10
SEED ?=
SOAK_SECONDS = $$(($(MINUTES) * 60))
.PHONY: soak
soak: require-root setup-test azure-vnet azure-vnet-ipam ## 32 workers, three modes, everything goes wrong; MINUTES=10 SEED=…; needs root
	AZURE_CNI_BIN=$(CURDIR)/$(BIN) SOAK_SECONDS=$(SOAK_SECONDS) SOAK_SEED=$(SEED) \
		go test -count=1 -timeout $$(($(MINUTES) + 10))m -v -run TestSoak $(TESTFLAGS) ./test/soak

# The machine's own systemd-resolved, or the one that setup has unpacked.
RESOLVED = $(firstword $(wildcard /lib/systemd/systemd-resolved $(CURDIR)/$(OUTPUT)/systemd/lib/systemd/systemd-resolved))

.PHONY: test
test: require-root setup-test setup-release setup-install vet azure-vnet azure-vnet-ipam $(REFERENCE)/.built install-releases ## vet, build for Windows, all tests; needs root; TESTFLAGS=… for go test
	GOOS=windows go build ./...
	RESOLVED_BIN=$(RESOLVED) NETWORKMANAGER_ROOT=$(CURDIR)/$(OUTPUT)/networkmanager MACHINE_ROOT=$(CURDIR)/$(OUTPUT)/machine AZURE_CNI_BIN=$(CURDIR)/$(BIN) REFERENCE_CNI_BIN=$(CURDIR)/$(REFERENCE) $(INSTALL_ENV) CGO_ENABLED=$(if $(RACE),1,0) \
		go test -count=1 -timeout 60m -parallel $(PARALLEL) $(RACE) $(TESTFLAGS) $$(go list ./... | grep -v /test/soak$$)
	$(MAKE) soak SOAK_SECONDS=40
	$(MAKE) test-e2e DATAPLANE=netdev RACE= TESTFLAGS="$(TESTFLAGS) -skip '/transparent|//transparent'" # the same test code as before, which the detector has seen; in transparent mode the family does not matter
	$(MAKE) test-runtimes
	$(MAKE) test-charts
	$(MAKE) test-quickstart
	$(MAKE) test-windows SKIP_WINDOWS=$(SKIP_WINDOWS)
	@[ -d $(OUTPUT)/node/ubuntu ] || echo "make test: SKIPPED on Ubuntu, whose archive could not be reached: the installers ran on the other nodes only (rm -r $(OUTPUT)/node tries again)"

# containerd and its CRI plugin on nodes of the fabric: docs/testing.md. A module of its own, like the reference plugins.
CONTAINERD := $(OUTPUT)/containerd
.PHONY: test-runtimes
test-runtimes: require-root setup-runtimes azure-vnet azure-vnet-ipam $(REFERENCE)/.built ## pods by containerd's CRI on two nodes: chained plugins, a crash, 100 that come and go; needs root
	cd test/runtimes && $(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(CONTAINERD)/pause ./pause
	cd test/runtimes && AZURE_CNI_BIN=$(CURDIR)/$(BIN) REFERENCE_CNI_BIN=$(CURDIR)/$(REFERENCE) CONTAINERD=$(CURDIR)/$(CONTAINERD) PAUSE=$(CURDIR)/$(CONTAINERD)/pause \
		go test -count=1 -timeout 10m $(TESTFLAGS) ./...

# The family of nftables that the plugin finds: bridge, or netdev as on a kernel without the bridge family.
DATAPLANE ?= bridge
.PHONY: dataplane-bridge dataplane-netdev
dataplane-bridge dataplane-netdev: dataplane-%: setup-build
	@mkdir -p $(OUTPUT)/$*
	$(call plugin,azure-vnet,$(OUTPUT)/$*,$(if $(filter netdev,$*),-X $(MODULE)/nft.bridgeFamily=no))
	$(call plugin,azure-vnet-ipam,$(OUTPUT)/$*,$(if $(filter netdev,$*),-X $(MODULE)/nft.bridgeFamily=no))

.PHONY: test-e2e
test-e2e: require-root setup-test dataplane-$(DATAPLANE) $(REFERENCE)/.built ## the end-to-end tests alone; DATAPLANE=bridge|netdev
	RESOLVED_BIN=$(RESOLVED) NETWORKMANAGER_ROOT=$(CURDIR)/$(OUTPUT)/networkmanager MACHINE_ROOT=$(CURDIR)/$(OUTPUT)/machine AZURE_CNI_BIN=$(CURDIR)/$(OUTPUT)/$(DATAPLANE) REFERENCE_CNI_BIN=$(CURDIR)/$(REFERENCE) AZURE_CNI_DATAPLANE=$(DATAPLANE) CGO_ENABLED=$(if $(RACE),1,0) \
		go test -count=1 -timeout 60m -parallel $(PARALLEL) $(RACE) $(TESTFLAGS) ./test/e2e

# End-to-end tests on Debian's kernels 5.10, 6.1 and 6.12, and on 6.1 without what Azure Linux 3 lacks (azl3), in qemu: docs/testing.md.
# It needs no root, nor that the processor helps: ACCEL=kvm is for those where it does. LIMIT is what a guest may take.
# One thread plays both processors: with two, qemu lets the one see an instruction that the other is replacing, which the kernel never does
# on a real one (Oops: int3, 6.12).
KERNEL ?=
ACCEL ?= tcg,thread=single
LIMIT ?= 45m
KERNELS := $(OUTPUT)/kernels
.PHONY: test-kernels
test-kernels: setup-kernels azure-vnet azure-vnet-ipam dataplane-netdev $(REFERENCE)/.built ## end-to-end tests on other kernels, in qemu, an hour; KERNEL=5.10|6.1|6.12|azl3 for one
	@mkdir -p $(KERNELS)/tests
	$(HOST) go test -c -trimpath -ldflags '-s -w' -o $(KERNELS)/tests/ ./test/e2e ./test/fabric
	$(HOST) $(BUILD) -o $(KERNELS)/runner ./test/kernels
	$(KERNELS)/runner -kernel '$(KERNEL)' -accel $(ACCEL) -limit $(LIMIT) -dir $(KERNELS) -tests $(KERNELS)/tests -bin $(BIN) -netdev $(OUTPUT)/netdev -reference $(REFERENCE)

# Kubernetes on nodes of the fabric, judged by its own end-to-end tests: docs/testing.md. Each cell of the table has a cluster of its own.
# FOCUS is a pattern of the tests' names, PROCS how many of them run at once.
MODES    ?= transparent bridge tunnel
PROXIES  ?= iptables nftables
FAMILIES ?= ipv4 dual
FOCUS    ?= $(if $(POLICIES),Netpol,\[sig-network\])
PROCS    ?= 6
CLUSTER  := $(OUTPUT)/cluster
# POLICIES=1 has kube-router on the nodes, which enforces network policies, and Kubernetes' tests of those.
POLICIES ?=
# CHAOS=1 has no tests, but what goes wrong on a node, and says for how long nobody is answered.
CHAOS ?=
# QUICKSTART=1 has nothing but the commands of the quickstart, with which each cell begins.
QUICKSTART ?=
CLUSTER_FLAGS ?=
.PHONY: test-cluster
test-cluster: require-root setup-cluster setup-release $(CLUSTER)/bin/.built $(if $(POLICIES),$(CLUSTER)/bin/kube-router) cluster-releases ## Kubernetes' own network tests on a cluster of the fabric; MODES=… PROXIES=… FAMILIES=… FOCUS=… for some; needs root
	$(HOST) $(BUILD) -o $(CLUSTER)/cluster ./test/cluster
	$(CLUSTER)/cluster -dir $(CLUSTER) -machine $(OUTPUT)/machine -modes '$(MODES)' -proxies '$(PROXIES)' -families '$(FAMILIES)' -focus '$(FOCUS)' -procs $(PROCS) $(if $(POLICIES),-policies) $(if $(CHAOS),-chaos) $(if $(QUICKSTART),-quickstart) $(CLUSTER_FLAGS)

# Two versions of this checkout, which the installer finds on each node.
.PHONY: cluster-releases
cluster-releases: $(REFERENCE)/.built
	@for v in v2.0.1 v2.0.2; do \
		dir=$(CLUSTER)/bin/$$v; \
		rm -rf $$dir; \
		$(MAKE) --no-print-directory --silent azure-cni-plugins VERSION=$$v OUTPUT=$(CLUSTER)/build ARCHIVE_DIR=$$dir; \
		cp scripts/install-cni-plugin.sh $$dir/; \
		echo $$v > $$dir/VERSION; \
		tar -czf $$dir/cni-plugins-linux-$(GOARCH)-$(REFERENCE_VERSION).tgz -C $(REFERENCE) loopback portmap; \
		( $(call sum,$$dir/cni-plugins-linux-$(GOARCH)-$(REFERENCE_VERSION).tgz) ); \
	done

# The programs of Kubernetes are built once for each version of it, which takes a quarter of an hour on two processors.
KUBERNETES := test/cluster/kubernetes
$(CLUSTER)/bin/.built: $(KUBERNETES)/go.mod $(KUBERNETES)/go.sum test/cluster/coredns/go.mod test/cluster/coredns/go.sum test/cluster/coredns/main.go
	@mkdir -p $(CLUSTER)/bin
	version=$$(sed -n 's,.*k8s.io/kubernetes v,v,p' $(KUBERNETES)/go.mod); \
	flags="-s -w -X k8s.io/component-base/version.gitVersion=$$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$$(echo $$version | cut -d . -f 2)"; \
	cd $(KUBERNETES); \
	for p in kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet; do \
		$(HOST) $(BUILD) -ldflags "$$flags" -o $(CURDIR)/$(CLUSTER)/bin/ k8s.io/kubernetes/cmd/$$p; \
	done; \
	for p in agnhost regression-issue-74839; do \
		$(HOST) $(BUILD) -ldflags "$$flags" -o $(CURDIR)/$(CLUSTER)/bin/ k8s.io/kubernetes/test/images/$$p; \
	done; \
	install -m 644 $$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/test/images/agnhost/porter/localhost.* $(CURDIR)/$(CLUSTER)/bin/; \
	$(HOST) go test -c -trimpath -ldflags "$$flags" -o $(CURDIR)/$(CLUSTER)/bin/e2e.test k8s.io/kubernetes/test/e2e; \
	$(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(CLUSTER)/bin/ github.com/onsi/ginkgo/v2/ginkgo; \
	$(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(CLUSTER)/bin/etcd go.etcd.io/etcd/server/v3
	cd test/cluster/coredns && $(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(CLUSTER)/bin/ .
	cd test/runtimes && $(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(CLUSTER)/bin/ ./pause
	@touch $@

$(CLUSTER)/bin/kube-router: test/cluster/policies/go.mod test/cluster/policies/go.sum
	cd test/cluster/policies && $(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$@ github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
	@touch $@

# The Windows programs on Wine, with a simulated HNS: docs/windows.md. SKIP_WINDOWS=1 is for machines that cannot have Wine.
WINE_DIR := $(OUTPUT)/wine
# The packages whose tests build for Windows; those of folders under test/ are about Linux.
WINDOWS_PACKAGES := ./cni/... ./doctor/... ./install/... ./ipam/... ./log/... ./network/... ./platform/... ./store/...
.PHONY: test-windows
ifeq ($(SKIP_WINDOWS),1)
test-windows: ## all Windows tests, on Wine with a simulated HNS; needs root; SKIP_WINDOWS=1 where Wine cannot be had
	@echo "make test-windows: SKIPPED because SKIP_WINDOWS=1: nothing of Windows was tested"
else
test-windows: require-root setup-windows $(WINE_DIR)/prefix/.made
	cd test/hnssim/conformance && GOOS=windows go test -c -tags integration -o $(CURDIR)/$(WINE_DIR)/hcn.exe github.com/Microsoft/hcsshim/hcn
	cd test/hnssim/conformance && GOOS=windows go test -c -o $(CURDIR)/$(WINE_DIR)/docs.exe .
	$(MAKE) --no-print-directory $(WINE_DIR)/winkernel.exe
	test/wine/run.sh $(WINE_DIR)/prefix $(MAKE) --no-print-directory on-wine
	$(MAKE) --no-print-directory GOOS=windows GOARCH=amd64 azure-vnet azure-vnet-ipam azure-vnet-install
	cd test/gocni && $(HOST) $(BUILD) -o $(CURDIR)/$(WINE_DIR)/gocni .
	AZURE_CNI_WINDOWS_BIN=$(CURDIR)/$(OUTPUT)/windows_amd64 WINE_PREFIX=$(CURDIR)/$(WINE_DIR)/prefix GOCNI_BIN=$(CURDIR)/$(WINE_DIR)/gocni \
		go test -count=1 -timeout 60m -tags wine -parallel 12 $(TESTFLAGS) ./test/windows
	@echo "make test-windows: passed, on Wine with a simulated HNS"
endif

# kube-proxy's tests of HNS, which Kubernetes skips. Of a copy: Go replaces no file of the module cache.
KUBERNETES_MOD := test/cluster/kubernetes
$(WINE_DIR)/winkernel.exe: $(KUBERNETES_MOD)/go.mod $(KUBERNETES_MOD)/go.sum
	rm -rf $(WINE_DIR)/winkernel
	mkdir -p $(WINE_DIR)/winkernel
	cp $^ $(WINE_DIR)/winkernel
	cd $(KUBERNETES_MOD) && cp $$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/pkg/proxy/winkernel/*.go $(CURDIR)/$(WINE_DIR)/winkernel
	chmod -R u+w $(WINE_DIR)/winkernel
	cd $(WINE_DIR)/winkernel && sed -i '/^tool (/,/^)/d' go.mod && sed -i '/t.Skip("Skipping failing test on Windows.")/d' hns_test.go && \
		GOOS=windows go test -c -o ../winkernel.exe .

# What test/wine/run.sh runs; $$WINE and $$INNET come from there. The tests with the tag wine are programs of Linux that start
# programs of Windows.
.PHONY: on-wine
on-wine:
	HNSSIM_EXES=$(CURDIR)/$(WINE_DIR) go test -count=1 -tags wine -exec "$$INNET" $(TESTFLAGS) ./test/hnssim
	GOOS=windows go test -count=1 -exec "$$WINE" $(TESTFLAGS) $(WINDOWS_PACKAGES)

MINGW := x86_64-w64-mingw32-gcc -O2 -Wall -Wextra -Werror -s -shared -static-libgcc
$(WINE_DIR)/prefix/.made: test/wine/prefix.sh test/wine/gaps.c test/hnssim/dll/hns.c
	@mkdir -p $(WINE_DIR)
	$(MINGW) -o $(WINE_DIR)/bcryptprimitives.dll test/wine/gaps.c -ladvapi32
	$(MINGW) -o $(WINE_DIR)/computenetwork.dll test/hnssim/dll/hns.c -lws2_32 -lole32
	$(MINGW) -DVMCOMPUTE -o $(WINE_DIR)/vmcompute.dll test/hnssim/dll/hns.c -lws2_32 -lole32
	unshare --net test/wine/prefix.sh $(WINE_DIR)/prefix $(WINE_DIR)/*.dll
	@touch $@

# How often each fuzz target runs, or how long (20s). By number, because Go takes a deadline that comes at a bad moment for a failure
# now and then.
FUZZTIME ?= 100000x
.PHONY: fuzz
fuzz: setup-test ## every fuzz target, FUZZTIME times (100000x) or as long (10m)
	@grep -rho --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' cni ipam netlink network nft platform store | sed 's/^func //' | sort | while read -r target; do \
		package=$$(grep -rl --include='*_test.go' "^func $$target(" cni ipam netlink network nft platform store | xargs -n 1 dirname); \
		echo "go test -fuzz $$target ./$$package"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 0x -parallel 2 "./$$package"; \
	done

.PHONY: vet
vet: setup-build ## go vet for every platform
	@for p in $(PLATFORMS); do \
		echo "go vet ./... ($$p)"; GOOS=$${p%/*} GOARCH=$${p#*/} go vet ./...; \
	done
	go vet -tags wine ./test/hnssim ./test/windows
	cd test/gocni && go vet ./...
	cd test/hnssim/conformance && GOOS=windows go vet ./...
	cd test/manifest && $(HOST) go vet ./...
	cd test/charts && $(HOST) go vet ./...
	cd test/quickstart && $(HOST) go vet ./...
	cd test/runtimes && $(HOST) go vet ./...

.PHONY: lint
lint: setup-lint vet test-manifest lint-powershell $(TOOLS)/golangci-lint $(TOOLS)/govulncheck ## formatting, vet, golangci-lint for linux and windows, known vulnerabilities, shellcheck, PowerShell, manifest, documents and their links, man pages, go.mod, no binaries in git
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "lint: gofmt -w wants to change:" $$files; exit 1; }
	@# git's --numstat has "-" for the line counts of what it holds to be binary.
	@files=$$(git diff --cached --numstat $$(git hash-object -t tree /dev/null) | sed -n 's/^-\t-\t//p'); \
		[ -z "$$files" ] || { echo "lint: binary files in git:" $$files; exit 1; }
	shellcheck scripts/*.sh examples/az-cli/*.sh test/wine/*.sh build/deb/postinst build/deb/prerm build/deb/postrm .ci/run
	@# The pages name each other, and need not be installed here.
	@wrong=$$(mandoc -T lint docs/man/*.8 | grep -v 'referenced manual not found: Xr azure-vnet' || :); [ -z "$$wrong" ] || { echo "$$wrong"; exit 1; }
	$(HOST) go test -count=1 ./test/docs
	go mod tidy -diff
	cd test/manifest && go mod tidy -diff
	cd test/charts && go mod tidy -diff
	cd test/quickstart && go mod tidy -diff
	cd test/runtimes && go mod tidy -diff
	@failed=; for os in linux windows; do \
		echo "golangci-lint run ./... ($$os)"; GOOS=$$os GOARCH=amd64 $(TOOLS)/golangci-lint run ./... || failed=1; \
	done; [ -z "$$failed" ]
	@# The database is on the internet. A machine that does not reach it says so as its last word; everything else fails.
	@out=$$($(TOOLS)/govulncheck -db $(VULNDB) ./... 2>&1) && echo "govulncheck: none" || { echo "$$out"; case $$out in \
		*"fetching vulnerabilities: "*) echo "make lint: govulncheck SKIPPED: no answer from $(VULNDB); known vulnerabilities were not looked for" ;; \
		*) exit 1 ;; esac; }

# Where the known vulnerabilities are; VULNDB=file:///folder names a copy.
VULNDB ?= https://vuln.go.dev
.PHONY: vulncheck
vulncheck: setup-build $(TOOLS)/govulncheck ## known vulnerabilities in what we call; fails where their database cannot be reached
	$(TOOLS)/govulncheck -db $(VULNDB) ./...

.PHONY: bench
bench: require-root setup-test azure-vnet azure-vnet-ipam $(REFERENCE)/.built ## a table of our plugins against the reference plugins, and output/bench.json; BENCH=regexp COUNT=n for Go benchmarks instead; needs root
ifeq ($(BENCH),)
	$(HOST) $(BUILD) -ldflags '-s -w' -o $(OUTPUT)/bench/floor ./test/bench/floor
	go run ./test/bench -bin $(BIN) -reference $(REFERENCE) -floor $(OUTPUT)/bench -json $(OUTPUT)/bench.json -only '$(SECTION)'
else
	AZURE_CNI_BIN=$(CURDIR)/$(BIN) REFERENCE_CNI_BIN=$(CURDIR)/$(REFERENCE) \
		go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $$(grep -rl --include='*_test.go' '^func Benchmark' cni ipam netlink network nft platform store test | xargs -n 1 dirname | sort -u | sed 's,^,./,') | tee $(OUTPUT)/bench.txt
endif

.PHONY: bench-plot
bench-plot: ## draw docs/bench-*.svg from output/bench.json, and print its table as Markdown
	go run ./test/bench -plot docs -json $(OUTPUT)/bench.json
	go run ./test/bench -markdown -json $(OUTPUT)/bench.json

.PHONY: bench-compare
bench-compare: ## where the ratios of output/bench.json and of another run, WITH=file, differ by 5 % or more
	go run ./test/bench -compare '$(WITH)' -json $(OUTPUT)/bench.json

.PHONY: benchstat
benchstat: $(TOOLS)/benchstat ## compare output/bench.txt with OLD=file
	$(TOOLS)/benchstat $(OLD) $(OUTPUT)/bench.txt

## House

.PHONY: clean
clean: ## remove output/
	rm -rf $(OUTPUT)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What a goal needs of the machine; installed where it is missing.
.PHONY: setup-build setup-demo setup-test setup-lint setup-windows setup-release setup-install setup-runtimes setup-kernels setup-cluster
setup-build setup-demo setup-test setup-lint setup-windows setup-release setup-install setup-runtimes setup-kernels setup-cluster: setup-%:
	@scripts/setup.sh $*

# First among the prerequisites: whoever lacks root hears it at once and not after the build.
.PHONY: require-root
require-root:
	@[ "$$(id -u)" -eq 0 ] || { echo "make $(MAKECMDGOALS): needs root, because it makes network namespaces (nothing else of this machine is touched): sudo make $(MAKECMDGOALS)" >&2; exit 1; }
	@[ "$(GOOS)" = linux ] && [ "$(GOARCH)" = "$$(go env GOHOSTARCH)" ] || { echo "make $(MAKECMDGOALS): runs what it builds: $(GOOS)/$(GOARCH) does not run here" >&2; exit 1; }

# The reference plugins that the tests chain and compare with: a module of their own, so that what they need stays out of go.mod.
$(REFERENCE)/.built: test/reference/go.mod test/reference/go.sum
	cd test/reference && $(HOST) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(REFERENCE)/ tool
	@touch $@

# The tools of tools.mod, built when a version changes: the first time golangci-lint takes a minute or two.
$(TOOLS)/%: tools.mod tools.sum
	$(HOST) $(BUILD) -modfile=tools.mod -o $@ $$(go list -modfile=tools.mod tool | grep '/$*$$')
