# The only entry points; CI calls `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test unit lint format generate cluster-up cluster-down

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

format: ## formats all code
	@cargo fmt --all

generate: ## writes again what is generated and committed
	@cargo run --locked --quiet --package cli -- generate crds > target/crds.yaml
	@mv target/crds.yaml crds/doorward.dev_apiauthpolicies.yaml

cluster-up: ## a real Kubernetes of one node, apart from the machine's network
	@e2e/cluster/cluster up node

cluster-down: ## ends it and removes all of it
	@e2e/cluster/cluster down
