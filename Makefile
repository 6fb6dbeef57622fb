# One line a target: `make` or `make help` lists them. The work is done by scripts/ and ui/build.sh, which can be called
# by hand as well; everything that is built lies in $SENT_CACHE (default ~/.cache/sent), everything that runs in var/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help deps ui build run test fuzz bench fmt lint clean-var

# Every recipe begins with the environment.
in := . scripts/env.sh;

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what is missing: Debian packages, libduckdb.so, the wasm target, cargo-nextest, npm packages
	@scripts/deps.sh

ui: deps ## build the pages
	@$(in) ui/build.sh

build: deps ## build the programs into bin/
	@scripts/with-pages.sh cargo build --quiet --release --bins
	@$(in) scripts/install.sh bin

run: build ## start PostgreSQL, mosquitto, the cloud and an enrolled box with a small office; Ctrl-C stops all
	@$(in) exec scripts/run.sh

test: lint ## check form and lints, then run every test
	@$(in) cargo build --quiet --bins
	@$(in) SENT_BIN="$$CARGO_TARGET_DIR/debug" PROPTEST_RNG_SEED="$${PROPTEST_RNG_SEED:-1}" cargo nextest run

fuzz: ## look further than the tests do: fresh seeds and 400,000 changed inputs for each parser
	@$(in) PROPTEST_CASES="$${PROPTEST_CASES:-100000}" cargo nextest run -E 'binary(fuzz)'

bench: build ## measure against references in the same run (bench-store, bench-sync …: one room)
	@$(in) exec scripts/bench.sh

bench-%: build
	@$(in) exec scripts/bench.sh $*

fmt: ## bring the sources into form
	@cargo fmt --all

lint: deps ## complain about form and lints, and test the pages
	@cargo fmt --all --check
	@scripts/with-pages.sh cargo clippy --quiet --all-targets -- -D warnings
	@$(in) ui/check.sh

clean-var: ## stop what `make run` left behind and forget its data
	@scripts/postgres.sh stop var/postgres
	@scripts/mosquitto.sh stop var/mosquitto
	@rm -rf var
