# What goes to people: archives, their sums and contents, the Debian package. Included by the Makefile; docs/install.md tells what it is for.

# The time of everything in a release is the commit's, so that it can be built again, byte for byte.
SOURCE_DATE_EPOCH ?= $(or $(shell git --git-dir=.git log -1 --format=%ct 2>/dev/null),0)
export SOURCE_DATE_EPOCH

RELEASE_PLATFORMS := linux/amd64 linux/arm64 windows/amd64
RELEASE := $(OUTPUT)/release
REFERENCE_VERSION := v1.9.1
# Where azure-cni-plugins puts its archive.
ARCHIVE_DIR ?= $(OUTPUT)
ARCHIVE_NAME := azure-vnet-cni-$(GOOS)-$(GOARCH)-$(VERSION)

# In its own folder: the lines shall name the files alone.
define sum
cd $(dir $(1)) && for s in 256 512; do sha$${s}sum $(notdir $(1)) > $(notdir $(1)).sha$$s; done
endef

# Windows' installer; Linux has a script.
.PHONY: azure-vnet-install
azure-vnet-install: setup-build
	$(BUILD) -ldflags '-s -w' -o $(BIN)/azure-vnet-install$(EXE) ./install

.PHONY: azure-cni-plugins
azure-cni-plugins: azure-vnet azure-vnet-ipam $(if $(EXE),azure-vnet-install) ## build both, and the archive output/azure-vnet-cni-<os>-<arch>-<version>.tgz (Windows: .zip)
	@mkdir -p $(ARCHIVE_DIR)
	$(HOST) go run ./build/pack -os $(GOOS) -arch $(GOARCH) -version $(VERSION) -time $(SOURCE_DATE_EPOCH) -bin $(BIN) -out $(ARCHIVE_DIR)
	@$(call sum,$(ARCHIVE_DIR)/$(ARCHIVE_NAME)$(if $(filter windows,$(GOOS)),.zip,.tgz))

.PHONY: release
release: setup-release ## everything that a release has, for all platforms, into output/release/
	rm -rf $(RELEASE)
	mkdir -p $(RELEASE)
	for p in $(RELEASE_PLATFORMS); do \
		$(MAKE) --no-print-directory azure-cni-plugins GOOS=$${p%/*} GOARCH=$${p#*/} ARCHIVE_DIR=$(RELEASE); \
	done
	for arch in amd64 arm64; do $(MAKE) --no-print-directory deb GOOS=linux GOARCH=$$arch ARCHIVE_DIR=$(RELEASE); done
	cp scripts/install-cni-plugin.sh scripts/install-cni-plugin.ps1 $(RELEASE)/
	echo $(VERSION) > $(RELEASE)/VERSION
	for arch in amd64 arm64; do $(MAKE) --no-print-directory reference-archive GOOS=linux GOARCH=$$arch ARCHIVE_DIR=$(RELEASE); done
	cp scripts/kubernetes/Dockerfile scripts/kubernetes/base/azure-vnet-cni.yaml $(RELEASE)/
	tar --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --mtime=@$(SOURCE_DATE_EPOCH) --format=ustar -C scripts/kubernetes \
		--transform='s,^chart,azure-vnet-cni,' -cf - chart | gzip -9n > $(RELEASE)/azure-vnet-cni-chart.tgz
	$(HOST) go run ./build/provenance -folder $(RELEASE) -version $(VERSION) -time $(SOURCE_DATE_EPOCH) -commit "$$(git --git-dir=.git rev-parse HEAD 2>/dev/null || :)"
	@cd $(RELEASE) && for f in *.spdx.json *.ps1 *.sh Dockerfile *.yaml *-chart.tgz provenance.json; do for s in 256 512; do sha$${s}sum $$f > $$f.sha$$s; done; done
	@cd $(RELEASE) && ls | grep -v -e '\.sha256$$' -e '\.sha512$$' -e '^SHA256SUMS' | xargs sha256sum > SHA256SUMS
	$(if $(KEY),$(MAKE) --no-print-directory sign-release)
	@ls -l $(RELEASE)

# The private key, in PEM, that signs a release's sums (ECDSA, P-256): as cosign sign-blob does, so cosign and openssl verify it.
KEY ?=
.PHONY: sign-release
sign-release: # KEY=file
	openssl dgst -sha256 -sign $(KEY) $(RELEASE)/SHA256SUMS | base64 -w 0 > $(RELEASE)/SHA256SUMS.sig

# The reference plugins that ours need, built from their published module, so that a release is all that an offline machine needs.
.PHONY: reference-archive
reference-archive: setup-build
	@mkdir -p $(ARCHIVE_DIR) $(OUTPUT)/reference-$(GOARCH)
	cd test/reference && for p in main/loopback meta/portmap; do \
		GOOS=$(GOOS) GOARCH=$(GOARCH) $(BUILD) -ldflags '-s -w' -o $(CURDIR)/$(OUTPUT)/reference-$(GOARCH)/ github.com/containernetworking/plugins/plugins/$$p; \
	done
	$(HOST) go run ./build/pack -reference -os $(GOOS) -arch $(GOARCH) -version $(REFERENCE_VERSION) -time $(SOURCE_DATE_EPOCH) -bin $(OUTPUT)/reference-$(GOARCH) -out $(ARCHIVE_DIR) -source test/reference
	@$(call sum,$(ARCHIVE_DIR)/cni-plugins-$(GOOS)-$(GOARCH)-$(REFERENCE_VERSION).tgz)

# v1.2.3-4-gabc-dirty is 1.2.3+4.gabc.dirty, which dpkg takes for newer than 1.2.3; a bare commit is older than any version;
# v1.2.3-rc1 is 1.2.3~rc1, older than 1.2.3.
DEB_VERSION = $(shell echo '$(VERSION)' | sed -E 's/^v//; s/-(alpha|beta|rc)/~\1/; s/-/+/; s/-/./g; s/[^A-Za-z0-9.+~]/./g; /^[0-9]+\./!s/^/0~git/')
DEB = $(ARCHIVE_DIR)/azure-vnet-cni_$(DEB_VERSION)_$(GOARCH).deb
DEB_ROOT = $(OUTPUT)/deb/$(GOARCH)
DEB_DOC = $(DEB_ROOT)/usr/share/doc/azure-vnet-cni

# Made of the archive in the same folder. gzip, because what xz makes depends on its threads.
.PHONY: deb
deb: # of azure-cni-plugins' archive: make release
	rm -rf $(DEB_ROOT)
	mkdir -p $(DEB_ROOT)/DEBIAN $(DEB_ROOT)/opt/cni/bin $(DEB_ROOT)/etc/cni/net.d $(DEB_ROOT)/usr/lib/systemd/system $(DEB_DOC)
	tar -xzf $(ARCHIVE_DIR)/$(ARCHIVE_NAME).tgz --no-same-owner -C $(DEB_DOC)
	mv $(DEB_DOC)/azure-vnet $(DEB_DOC)/azure-vnet-ipam $(DEB_ROOT)/opt/cni/bin/
	mv $(DEB_DOC)/10-azure.conflist $(DEB_ROOT)/etc/cni/net.d/
	mv $(DEB_DOC)/azure-vnet-repair.service $(DEB_DOC)/azure-vnet-metrics.service $(DEB_DOC)/azure-vnet-metrics.timer $(DEB_ROOT)/usr/lib/systemd/system/
	mkdir -p $(DEB_ROOT)/usr/share/bash-completion/completions
	mv $(DEB_DOC)/azure-vnet.bash $(DEB_ROOT)/usr/share/bash-completion/completions/azure-vnet
	ln -s azure-vnet $(DEB_ROOT)/usr/share/bash-completion/completions/azure-vnet-ipam
	mv $(DEB_DOC)/LICENSE $(DEB_DOC)/copyright
	$(if $(wildcard docs/man/*.8),mkdir -p $(DEB_ROOT)/usr/share/man/man8 && for m in docs/man/*.8; do gzip -9nc $$m > $(DEB_ROOT)/usr/share/man/man8/$${m##*/}.gz; done)
	echo /etc/cni/net.d/10-azure.conflist > $(DEB_ROOT)/DEBIAN/conffiles
	install -m 755 build/deb/postinst build/deb/prerm build/deb/postrm $(DEB_ROOT)/DEBIAN/
	sed -e 's/@VERSION@/$(DEB_VERSION)/' -e 's/@ARCH@/$(GOARCH)/' -e "s/@SIZE@/$$(du -sk --apparent-size $(DEB_ROOT)/opt $(DEB_ROOT)/usr | awk '{s += $$1} END {print s}')/" build/deb/control > $(DEB_ROOT)/DEBIAN/control
	chmod -R a+rX,u+w,go-w $(DEB_ROOT)
	dpkg-deb --root-owner-group -Zgzip -z9 --build $(DEB_ROOT) $(DEB)
	@$(call sum,$(DEB))

# Two versions of this checkout, each with the archive of the reference plugins that a release of those has.
INSTALL := $(OUTPUT)/install
.PHONY: install-releases
install-releases: $(REFERENCE)/.built
	@for v in v2.0.0 v2.0.1; do \
		$(MAKE) --no-print-directory --silent azure-cni-plugins deb VERSION=$$v OUTPUT=$(INSTALL)/build ARCHIVE_DIR=$(INSTALL)/$$v; \
		echo $$v > $(INSTALL)/$$v/VERSION; \
		$(MAKE) --no-print-directory --silent reference-archive ARCHIVE_DIR=$(INSTALL)/$$v; \
	done

# What a go test of the package needs; "make test" sets it, too.
INSTALL_ENV = INSTALL_RELEASES=$(CURDIR)/$(INSTALL) INSTALL_NODES=$(CURDIR)/$(OUTPUT)/node
# DISTRIBUTION=ubuntu or debian: everything on this one, what else would run on the other, too.
DISTRIBUTION ?=
.PHONY: test-install
test-install: require-root setup-release setup-install install-releases ## the installers, the packages and the upgrade of a live node; DISTRIBUTION=debian|ubuntu; needs root
	$(INSTALL_ENV) INSTALL_DISTRIBUTION=$(DISTRIBUTION) go test -count=1 -timeout 60m $(TESTFLAGS) ./test/install

# The manifest of Kubernetes and the lists of what is in a release, against the types of those who read them.
.PHONY: test-manifest
test-manifest: ARCHIVE_DIR := $(OUTPUT)/manifest
test-manifest: setup-build azure-cni-plugins
	$(HOST) go run ./build/provenance -folder $(ARCHIVE_DIR) -version $(VERSION) -time $(SOURCE_DATE_EPOCH) -commit "$$(git --git-dir=.git rev-parse HEAD 2>/dev/null || echo unknown)"
	cd test/manifest && SPDX_DOCUMENT=$(CURDIR)/$(ARCHIVE_DIR)/$(ARCHIVE_NAME).spdx.json PROVENANCE=$(CURDIR)/$(ARCHIVE_DIR)/provenance.json $(HOST) go test -count=1 ./...
	@rm -rf $(ARCHIVE_DIR)

# The overlays and the chart, rendered by the libraries of kustomize and helm: a module of its own, since they are large.
.PHONY: test-charts
test-charts: setup-build ## the overlays and the Helm chart, rendered, linted and compared
	cd test/charts && $(HOST) go test -count=1 $(TESTFLAGS) ./...

# What the documents for a new cluster hand to Azure, Terraform and Kubernetes: a module of its own, like the charts.
.PHONY: test-quickstart
test-quickstart: setup-build ## the files and commands of the quickstart, by the types and parsers of those who read them
	cd test/quickstart && $(HOST) go test -count=1 $(TESTFLAGS) ./...

# PowerShell does not run here, so its scripts are read by tree-sitter's grammar: docs/install.md, Windows.
POWERSHELL := $(TOOLS)/powershell
.PHONY: lint-powershell
lint-powershell: setup-lint $(POWERSHELL)/node_modules/.package-lock.json
	node $(POWERSHELL)/check.mjs scripts/*.ps1 test/windows/*.ps1

$(POWERSHELL)/node_modules/.package-lock.json: build/powershell/package.json build/powershell/package-lock.json build/powershell/check.mjs
	@mkdir -p $(POWERSHELL)
	cp build/powershell/* $(POWERSHELL)/
	cd $(POWERSHELL) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
