# make help lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
TOOL := go tool -modfile=$(CURDIR)/internal/tools/go.mod

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

demo: ## a hardened server, an identity provider, and a client that shows what is allowed and refused
	@cd examples && go run ./quickstart

serve: ## the server of the demo, left running, with curl lines to paste
	@cd examples && go run ./quickstart -serve

test: ## everything that CI runs; installs what is missing
	@./scripts/test.sh

check: ## the short loop: format, vet, race tests, lint of the root module
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	@go vet ./...
	@go test -race ./...
	@$(TOOL) golangci-lint run ./...

conformance: ## the official MCP conformance suite against a guarded server
	@./conformance/run.sh

interop: ## servers of other makers behind Wrap, real clients in front
	@cd interop && go test -race ./...

bench: ## what the guard costs, next to the bare SDK (docs/PERFORMANCE.md)
	@go test -run '^$$' -bench Guard -count $(or $(COUNT),6) . | tee bench.out
	@$(TOOL) benchstat bench.out

fuzz: ## every fuzz target for 10 s (FUZZTIME=1m for more)
	@./scripts/fuzz.sh

fuzz-long: ## every fuzz target for 10 min
	@FUZZTIME=10m ./scripts/fuzz.sh

golden: ## rewrite the golden files of the API and of the dependencies
	@go test -run 'TestAPI|TestModules' . -update

tools: ## build the pinned tools
	@$(TOOL) golangci-lint --version
	@$(TOOL) benchstat -h 2>&1 | head -1

.PHONY: help demo serve test check conformance interop bench fuzz fuzz-long golden tools
