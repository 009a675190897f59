# `make up` needs Rust, a C compiler and make; the tests also need servers, and say so when one is missing.
CARGO ?= cargo
DEMO ?= air
DATA ?= .tidegate
ARGS ?=
# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help up demo test faults fail-points lint alerts doc bench bench-servers bench-peers calibrate images compose clean-data

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: ## Build and start the embedded stack with a demo product (DEMO=air|none)
	$(CARGO) build --locked --bin tidegate
	$(TARGET)/debug/tidegate up --data $(DATA) --demo $(DEMO) $(ARGS)

demo: ## Stream a million rows through the running stack and check every view
	$(TARGET)/debug/tidegate demo air --data $(DATA) $(ARGS)

test: fail-points ## Run every test, on a private RabbitMQ and PostgreSQL of its own
	@sh tests/support/tools.sh sqlite3 openssl rabbitmq-server postgresql
	$(CARGO) build --locked --bin tidegate
	sh tests/support/servers.sh run $(CARGO) test --workspace --locked $(ARGS)

faults: fail-points ## Break everything under load and count (ARGS="--seed 7 --only kills"); docs/FAULTS.md
	@sh tests/support/tools.sh openssl rabbitmq-server postgresql
	$(CARGO) build --locked --bin tidegate --bin faults
	sh tests/support/servers.sh run $(TARGET)/debug/faults $(ARGS) 2>$(TARGET)/faults.log

# The program with fail points: a build of its own, so that no other has them.
fail-points:
	$(CARGO) build --locked --workspace --features tidegate-cli/test-util --bin tidegate-faults

lint: ## Formatting, clippy and documentation, as the gate runs them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

alerts: ## Check the alert rules of deploy/alerts and run their tests
	@sh tests/support/tools.sh prometheus
	promtool check rules deploy/alerts/jobs.yml
	promtool test rules deploy/alerts/jobs_test.yml

bench: ## Measure what docs/PERFORMANCE.md reports (ARGS="--long" adds five million rows)
	$(CARGO) build --locked --profile bench --bin tidegate --bin bench
	$(TARGET)/release/bench --tidegate $(TARGET)/release/tidegate $(ARGS)

bench-servers: ## The same on a private RabbitMQ and PostgreSQL (ARGS="--only refresh")
	@sh tests/support/tools.sh openssl rabbitmq-server postgresql
	$(CARGO) build --locked --profile bench --bin tidegate --bin bench
	sh tests/support/servers.sh run $(TARGET)/release/bench --tidegate $(TARGET)/release/tidegate --servers $(ARGS)

bench-peers: ## Compare the queue with Celery and BullMQ on the same private servers (ARGS="--rounds 1" for a short run)
	@sh tests/support/tools.sh openssl rabbitmq-server postgresql redis-server python3-venv npm
	$(CARGO) build --locked --profile bench --bin tidegate-worker --bin peers
	sh tests/support/servers.sh run sh tests/support/peers.sh $(TARGET) $(ARGS)

calibrate: ## How often the judge is wrong about seeded releases (ARGS="--trials 4000 --seed 7")
	$(CARGO) build --locked --bin calibrate
	$(TARGET)/debug/calibrate $(ARGS)

images: ## Build the image of every tier (TIDEGATE_TAG=local)
	sh tests/support/images.sh

compose: ## Build the images, start docker-compose.yml and show that it works (ROWS=100000)
	sh tests/support/compose.sh

clean-data: ## Forget the embedded stack's data
	rm -rf $(DATA)
