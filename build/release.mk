# What goes to people: archives, their sums and contents, the Debian package. Included by the Makefile; docs/install.md tells what it is for.

# The time of everything in a release is the commit's, so that it can be built again, byte for byte.
SOURCE_DATE_EPOCH ?= $(or $(shell git --git-dir=.git log -1 --format=%ct 2>/dev/null),0)
export SOURCE_DATE_EPOCH

RELEASE_PLATFORMS := linux/amd64 linux/arm64 windows/amd64
RELEASE := $(OUTPUT)/release
# Where azure-cni-plugins puts its archive.
ARCHIVE_DIR ?= $(OUTPUT)
ARCHIVE_NAME := azure-vnet-cni-$(GOOS)-$(GOARCH)-$(VERSION)

# In its own folder: the lines shall name the files alone.
define sum
cd $(dir $(1)) && for s in 256 512; do sha$${s}sum $(notdir $(1)) > $(notdir $(1)).sha$$s; done
endef

.PHONY: azure-cni-plugins
azure-cni-plugins: azure-vnet azure-vnet-ipam ## build both, and the archive output/azure-vnet-cni-<os>-<arch>-<version>.tgz (Windows: .zip)
	@mkdir -p $(ARCHIVE_DIR)
	$(if $(EXE),$(BUILD) -ldflags '-s -w' -o $(BIN)/azure-vnet-install$(EXE) ./install)
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
	@$(call sum,$(RELEASE)/install-cni-plugin.sh)
	@$(call sum,$(RELEASE)/install-cni-plugin.ps1)
	@cd $(RELEASE) && for f in *.spdx.json; do for s in 256 512; do sha$${s}sum $$f > $$f.sha$$s; done; done
	@ls -l $(RELEASE)

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
	mkdir -p $(DEB_ROOT)/DEBIAN $(DEB_ROOT)/opt/cni/bin $(DEB_ROOT)/etc/cni/net.d $(DEB_ROOT)/lib/systemd/system $(DEB_DOC)
	tar -xzf $(ARCHIVE_DIR)/$(ARCHIVE_NAME).tgz --no-same-owner -C $(DEB_DOC)
	mv $(DEB_DOC)/azure-vnet $(DEB_DOC)/azure-vnet-ipam $(DEB_ROOT)/opt/cni/bin/
	mv $(DEB_DOC)/10-azure.conflist $(DEB_ROOT)/etc/cni/net.d/
	mv $(DEB_DOC)/azure-vnet-repair.service $(DEB_DOC)/azure-vnet-metrics.service $(DEB_DOC)/azure-vnet-metrics.timer $(DEB_ROOT)/lib/systemd/system/
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
REFERENCE_VERSION := v1.9.1
.PHONY: install-releases
install-releases: $(REFERENCE)/.built
	@for v in v2.0.0 v2.0.1; do \
		$(MAKE) --no-print-directory --silent azure-cni-plugins deb VERSION=$$v OUTPUT=$(INSTALL)/build ARCHIVE_DIR=$(INSTALL)/$$v; \
		echo $$v > $(INSTALL)/$$v/VERSION; \
		tar -czf $(INSTALL)/$$v/cni-plugins-linux-$(GOARCH)-$(REFERENCE_VERSION).tgz -C $(REFERENCE) loopback portmap; \
		( $(call sum,$(INSTALL)/$$v/cni-plugins-linux-$(GOARCH)-$(REFERENCE_VERSION).tgz) ); \
	done

# What a go test of the package needs; "make test" sets it, too.
INSTALL_ENV = INSTALL_RELEASES=$(CURDIR)/$(INSTALL) INSTALL_NODES=$(CURDIR)/$(OUTPUT)/node
.PHONY: test-install
test-install: require-root setup-release setup-install install-releases ## the installers, the packages and the upgrade of a live node; needs root
	$(INSTALL_ENV) go test -count=1 -timeout 10m $(TESTFLAGS) ./test/install

# The manifest of Kubernetes and the lists of what is in a release, against the types of those who read them.
.PHONY: test-manifest
test-manifest: ARCHIVE_DIR := $(OUTPUT)/manifest
test-manifest: setup-build azure-cni-plugins
	cd test/manifest && SPDX_DOCUMENT=$(CURDIR)/$(ARCHIVE_DIR)/$(ARCHIVE_NAME).spdx.json $(HOST) go test -count=1 ./...
	@rm -rf $(ARCHIVE_DIR)

# The overlays and the chart, rendered by the libraries of kustomize and helm: a module of its own, since they are large.
.PHONY: test-charts
test-charts: setup-build ## the overlays and the Helm chart, rendered, linted and compared
	cd test/charts && $(HOST) go test -count=1 $(TESTFLAGS) ./...

# PowerShell does not run here, so its scripts are read by tree-sitter's grammar: docs/install.md, Windows.
POWERSHELL := $(TOOLS)/powershell
.PHONY: lint-powershell
lint-powershell: setup-lint $(POWERSHELL)/node_modules/.package-lock.json
	node $(POWERSHELL)/check.mjs scripts/*.ps1

$(POWERSHELL)/node_modules/.package-lock.json: build/powershell/package.json build/powershell/package-lock.json build/powershell/check.mjs
	@mkdir -p $(POWERSHELL)
	cp build/powershell/* $(POWERSHELL)/
	cd $(POWERSHELL) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
