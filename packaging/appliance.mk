# The appliance: package, repository, bundle, system tests, release.
#
#   make deb                              dist/bess-gateway_VERSION_amd64.deb, checked by lintian
#   make reproducible                     build it a second time elsewhere, compare byte for byte
#   make apt-repo                         dist/apt: a signed repository with every .deb in dist/
#   make offline-bundle RELEASE=trixie    one file for a site without a network
#   make check-appliance                  versions, journal catalog, units, man pages agree
#   make test-system                      the package on booted Debian 12 and 13
#   make release VERSION=1.2.3            all of it, checksums and a tag
#
# REPO_KEY=FINGERPRINT (and GNUPGHOME) sign; without it a throwaway key of this checkout does, which
# only tests accept. WHEELS names a wheelhouse filled elsewhere, for a machine without a network.

WHEELS ?= build/wheels
RELEASE ?= trixie
RELEASES ?= bookworm trixie
KEY_HOME := $(if $(REPO_KEY),$(or $(GNUPGHOME),$(HOME)/.gnupg),build/apt-key)
KEY = $(or $(REPO_KEY),$(shell packaging/throwaway-key build/apt-key))
VERSION_NOW = $(shell dpkg-parsechangelog -S Version)
DEB = dist/bess-gateway_$(VERSION_NOW)_amd64.deb

# What building and testing the package needs from Debian.
APPLIANCE_APT := debhelper dh-python dpkg-dev lintian apt-utils gnupg xz-utils man-db systemd git
SYSTEM_APT := debootstrap util-linux procps mosquitto

.PHONY: deb reproducible apt-repo offline-bundle check-appliance test-system release \
  appliance-packages system-test-packages wheelhouse

appliance-packages system-test-packages: %-packages:
	@missing=; for p in $(APPLIANCE_APT) $(if $(filter system-test,$*),$(SYSTEM_APT)); do \
	  [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null)" = installed ] || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing from Debian:$$missing"; \
	  $(SUDO) apt-get update -qq; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

# pip, and so the virtual environment, only where a wheel is missing.
wheelhouse:
	@packaging/check-wheels $(WHEELS) 2>/dev/null || { \
	  $(MAKE) --no-print-directory $(VENV)/installed && PYTHON=$(BIN)/python packaging/fetch-wheels $(WHEELS); }

deb: wheelhouse appliance-packages
	packaging/build-deb $(WHEELS) dist
	lintian --allow-root --fail-on error,warning $(DEB)

reproducible: wheelhouse appliance-packages
	packaging/build-twice $(WHEELS)

apt-repo: deb
	@[ -n "$(REPO_KEY)" ] || { rm -rf dist/apt; \
	  echo "no REPO_KEY: signing with a throwaway key, for tests only"; }
	packaging/make-repo dist/apt $(KEY_HOME) $(KEY) dist/*.deb

offline-bundle: deb
	@[ -n "$(REPO_KEY)" ] || echo "no REPO_KEY: signing with a throwaway key, for tests only"
	packaging/offline-bundle $(RELEASE) $(DEB) dist $(KEY_HOME) $(KEY)

check-appliance: $(VENV)/installed appliance-packages
	$(BIN)/pytest tests/system/test_source.py

# Says what it lacks and skips where it cannot boot a machine; fails there in CI.
test-system: $(VENV)/installed wheelhouse
	@if packaging/can-boot; then \
	  $(MAKE) --no-print-directory system-test-packages && \
	  $(BIN)/pytest tests/system $(if $(TESTS),-k "$(TESTS)"); \
	elif [ -n "$(CI)" ]; then echo "make test-system: must not be skipped in CI" >&2; exit 1; \
	else echo "make test-system: skipped"; fi

release:
	packaging/release "$(VERSION)" $(WHEELS)
