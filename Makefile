# Everything is started from here; each target is a few lines or a script that says what it does.
# The line after ## is what a bare `make` prints.

.DEFAULT_GOAL := help
.PHONY: help demo demo-down build image dist generate lint test test-offline test-node soak bench site audit

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## try it: a real API server, a mail sandbox and the operator on this machine; never your cluster
	@scripts/demo.sh up

demo-down: ## end what make demo started
	@scripts/demo.sh down

build: ## the programs, optimised: target/release/mailverity and its kubectl plugin kubectl-mail
	@scripts/rust.sh
	cargo build --release --locked

image: ## the image without a builder: target/image/mailverity.tar; static, from scratch, the same digest for the same commit
	@scripts/image.sh

dist: ## what a release has, in target/dist: programs, SBOM, image, charts, manifests, checksums
	@scripts/dist.sh

generate: ## write crds/ and the generated pages of docs/ from the code, deploy/ from the charts
	@scripts/generate.sh

lint: ## format, clippy, generated files up to date, shell scripts
	@scripts/lint.sh

test: ## all tests, against a real mail server and API server; installs what is missing (ARGS='a_name' for some)
	@tests/run $(ARGS)

test-offline: ## the tests that need nothing but Rust: units, manifests, protocols against scripted servers
	@scripts/rust.sh
	cargo test --locked --lib --test offline --test protocol $(ARGS)
	@echo "left out: every test against a real mail server or a real API server; make test runs them too"

test-node: ## the image and the charts on a real node with real pods, made here (root on Linux; elsewhere it says so)
	@tests/node/run

soak: ## the long tests: hundreds of kills, schedules of minutes, fleets of up to 10,000 objects; log in target/soak.log
	@tests/run --soak $(ARGS)

bench: ## cost of a check beside other clients, as ratios
	@scripts/rust.sh
	@benches/run.sh

site: ## the documentation as a site, in target/site; builds mdbook the first time, about 5 minutes
	@scripts/site.sh

audit: ## licences, sources, banned crates and known advisories of what is built in (needs the internet)
	@scripts/audit.sh
