# Every target does the set-up it needs. Settings come from the environment: `AI_ENDPOINT=… make up`.
SHELL := /bin/bash
bin := .venv/bin
BACKENDS ?= embedded
WORKERS ?= 3# of the tests, which wait for containers more than they compute
within_embedded :=
within_aws := deploy/local/aws.sh run
.DEFAULT_GOAL := help
.PHONY: help setup venv demo up down gen check test bench chaos images

help: ## this list
	@sed -En 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: ## system packages (missing ones, as root), .venv, a Docker daemon, images
	@deploy/local/setup.sh

venv:
	@deploy/local/setup.sh venv

demo: ## a grid of its own, the examples on it, and down again
	@examples/demo.sh

up: setup ## start a grid on this machine; prints where. `make up BACKENDS=aws`: with S3, DynamoDB and SQS, in memory
	$(if $(filter $(BACKENDS),embedded aws),,$(error BACKENDS is `$(BACKENDS)`; use embedded or aws))
	@$(within_$(BACKENDS)) $(bin)/nanogrid up

down: ## stop what `make up` started, and nothing else
	@if [ -x $(bin)/nanogrid ]; then $(bin)/nanogrid down; fi
	@deploy/local/aws.sh stop
	@deploy/local/dockerd.sh stop

gen: venv ## regenerate gen/ from protos/
	@deploy/local/gen.sh

check: venv ## format, lint, types, imports, contract, generated code
	@deploy/local/check.sh

test: ## every test; `make test ARGS='-k cli'` for some
	@deploy/local/setup.sh tests
	@$(bin)/pytest --numprocesses $(WORKERS) --no-loadscope-reorder $(ARGS)

bench: setup ## the benchmarks, each beside its peer
	@$(bin)/python -m benchmarks $(ARGS)

chaos: venv ## processes killed, stopped, lied to, and every job audited; `CHAOS_SCALE=0.02 make chaos` for a fiftieth
	@PYTHONPATH=tests $(bin)/python -m chaos $(ARGS)

images: ## build every sandbox image that is missing or out of date
	@deploy/local/setup.sh images
