# The only entry points; CI calls `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test unit lint format generate advisories fuzz images reproduce e2e-node cluster-up cluster-down bench-operator

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## the whole idea on this machine, with commands to paste
	@cargo run --locked --quiet --package cli -- demo

test: ## everything that CI runs; installs what it needs
	@.ci/suites

unit: ## the fast inner loop: the pure crates
	@cargo test --locked --quiet -p crds -p policy -p compile

lint: ## formatting and lints
	@cargo fmt --all --check
	@cargo clippy --locked --workspace --all-targets -- -D warnings

advisories: ## known faults of the dependencies; needs the network
	@.ci/install
	@cargo deny --locked fetch db || { echo "NOT CHECKED: the database of advisories cannot be reached (advisories.db-urls in deny.toml)" >&2; exit 1; }
	@cargo deny --locked check --disable-fetch advisories

fuzz: ## hostile bytes for TIME seconds a target, 60 without it; needs a nightly compiler
	@.ci/fuzz $(or $(TIME),60)

format: ## formats all code
	@cargo fmt --all

generate: ## writes again what is generated and committed
	@cargo run --locked --quiet --package cli -- generate crds > target/crds.yaml
	@cp target/crds.yaml charts/doorward/files/doorward.dev_apiauthpolicies.yaml
	@mv target/crds.yaml crds/doorward.dev_apiauthpolicies.yaml
	@cargo run --locked --quiet --package cli -- generate docs > target/reference.md
	@mv target/reference.md docs/reference.md

e2e-control: ## the tests against a real API server; with KUBECONFIG those that need nothing else, against that one
	@e2e/control

images: ## the images as archives, target/images/*.tar, without Docker
	@.ci/images

reproduce: ## the images once more, in another folder: the same bytes
	@.ci/reproduce

e2e-node: ## installs the chart on a real node and tests there; DOORWARD_KEEP=1 leaves the cluster up
	@e2e/node

cluster-up: ## a real Kubernetes of one node, apart from the machine's network
	@e2e/cluster/cluster up node

cluster-down: ## ends it and removes all of it
	@e2e/cluster/cluster down

bench-operator: ## simulated sidecars and many pods against a real operator, with what is aimed at
	@bench/operator sidecars 100 1000
	@bench/operator policies 10000
