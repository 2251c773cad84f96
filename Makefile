# Everything runs in one Python environment per machine and set of pins, made on first use by tools/environment.py
# in the user's cache directory. Nothing is installed into the system, and a second run needs no network.

PYTHON ?= python3
# Test processes side by side, more than the smallest machine has cores, as tests wait more than they work. Two of five
# begin with what needs no control plane; each of the others starts one of its own (about 700 MB).
WORKERS ?= 5
# More arguments for pytest, the demo or the bench: make test ARGS='-k annotation', make demo ARGS=--keep
ARGS ?=

python = $(or $(shell $(PYTHON) tools/environment.py),$(error there is no Python environment, see the message above))
# Without bytecode every process of the tests would compile some 400 modules again.
run = env -u PYTHONDONTWRITEBYTECODE PYTHONPATH=operator:sandbox $(python)

.DEFAULT_GOAL := help
.PHONY: help env demo pictures test bytecode lint format unit bench bench-scale isolation slow-test soak chaos e2e install-test alerts-test dashboard-picture migrations-picture uninstall-test upgrade-test compat-test workflow-lint image image-test release docs clean

help: ## Show this list
	@echo 'nicplug: make TARGET'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## Make the Python environment and print its interpreter
	@echo $(python)

demo: ## Watch a running VM get a NIC on a real API server (first run: builds it, some minutes)
	@$(run) -m nicplug sandbox demo $(ARGS)

pictures: ## Write the pictures of README and user guide from a real run
	@$(run) -m nicplug sandbox demo --pictures docs/images $(ARGS)

test: ## Lint, then all tests but the end-to-end ones that need Docker
	@test -x $(python)
	@$(MAKE) --no-print-directory --jobs=2 lint bytecode
	@$(run) -m nicplug sandbox build control-plane helm
	@$(run) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# pytest's own bytecode, which each worker of a new clone would compile for itself. A file that cannot be collected is
# for the test run to report.
bytecode: ## Compile the tests once, for all workers of `make test`
	@$(run) -m pytest -q --collect-only -p no:cacheprovider > /dev/null 2>&1 || true

# mypy's cache lies beside the environment: it goes by the contents of files, and a new clone has most of them.
lint: ## Style, types, the architecture's import rules, and the Dockerfile
	@$(run) -m ruff check .
	@$(run) -m ruff format --check .
	@$(run) -m mypy --cache-dir $(dir $(python))../mypy operator sandbox tests tools
	@PYTHONPATH=operator:sandbox $(dir $(python))lint-imports --no-logo
	@$(dir $(python))hadolint Dockerfile

format: ## Format the code and fix what ruff can fix
	@$(run) -m ruff check --fix .
	@$(run) -m ruff format .

unit: ## Only the tests that need no control plane (for the inner loop)
	@$(run) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/unit tests/sim tests/api $(ARGS)

bench: ## Measure latency, bursts, writes and memory against the budgets
	@$(run) -m tests.perf.bench $(ARGS)

bench-scale: ## Measure among 5,000 running VMIs: start, memory, rest, hand-over, growth (half an hour)
	@$(run) -m tests.perf.scale $(ARGS)

isolation: ## Print what a NIC takes while a tenant forges sixty dynamic networks controllers
	@$(run) -m pytest -q -s tests/integration/test_isolation.py $(ARGS)

# The files that have such tests, and those with random examples or schedules, of which there are ten times as many then.
slow_tests = $(shell grep -rlE 'tests.slow import|hypothesis import' --include='test_*.py' tests)
slow-test: ## What make test leaves out as it takes long: the tools in small, the pages of docs as they are typed
	@$(run) -m nicplug sandbox build control-plane
	@NICPLUG_TEST_SLOW=1 $(run) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(slow_tests) $(ARGS)

soak: ## Many random operations while operator and API server are killed: does everything end as declared?
	@$(run) -m tests.soak $(ARGS)

chaos: ## Hot-plug NICs through restarts, outages, storms and expiries: is one lost or doubled? (some minutes)
	@$(run) -m tests.chaos $(ARGS)

e2e: ## The demo, then image and chart with the real Multus, on kind; needs Docker, skips with the reason elsewhere
	@$(run) -m pytest tests/e2e $(ARGS)

install-test: ## Install, upgrade, roll back and remove the chart with the real Helm, and run its pods (some minutes)
	@$(run) -m nicplug sandbox build control-plane helm
	@NICPLUG_TEST_INSTALL=1 $(run) -m pytest -n 2 --dist loadfile tests/install $(ARGS)

alerts-test: ## Have Prometheus' own promtool test alerts and metrics (first run: builds it, some minutes)
	@$(run) -m nicplug sandbox build promtool
	@NICPLUG_TEST_PROMTOOL=1 $(run) -m pytest -q tests/alerts $(ARGS)

dashboard-picture: ## Draw the dashboard's panels from a short bench (first run: builds Prometheus' query engine)
	@$(run) -m tests.perf.dashboard $(ARGS)

migrations-picture: ## Draw slots, queue and arrivals of 100 migrations over time, from a run of the bench (two minutes)
	@$(run) -m tests.perf.bench --only-migrations --migrations-picture docs/images/migrations.svg $(ARGS)

uninstall-test: ## Uninstall and purge on a control plane of their own: no guest ends, nothing is left
	@NICPLUG_TEST_UNINSTALL=1 $(run) -m pytest -q tests/integration/test_uninstall.py $(ARGS)

upgrade-test: ## From the last release to this version and back, with VMs on every stage of their way (some minutes)
	@$(run) -m nicplug sandbox build control-plane
	@NICPLUG_TEST_UPGRADE=1 $(run) -m pytest -q tests/upgrade $(ARGS)

# Of the integration tests those that depend on what the API server does, and the chart.
compat_tests = $(addprefix tests/integration/test_,$(addsuffix .py,admission admission_accounts admission_objects \
    controlplane crds deployment drain eviction fences hotplug hotplug_faults kube_controllers live_changes migrations \
    paths pod_life rights subresources))
compat-test: ## CRDs, policies, hot-plug, migrations, drains and the chart on the oldest Kubernetes (first run: builds it)
	@NICPLUG_SANDBOX_KUBERNETES=1.31 $(run) -m nicplug sandbox build control-plane helm
	@NICPLUG_SANDBOX_KUBERNETES=1.31 NICPLUG_TEST_INSTALL=1 $(run) -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	    $(compat_tests) tests/install/test_releases.py $(ARGS)

workflow-lint: ## Check the workflows of .github with actionlint (first run: builds it, half a minute)
	@$(run) -m tools.workflow_lint

image: ## Build the image nicplug:dev with Docker or buildah, and print what takes how much of it
	@$(run) -m tools.image $(ARGS)

image-test: ## Plug a NIC from containers of the image, built with buildah (root; says which Debian packages it lacks)
	@NICPLUG_TEST_IMAGE=1 $(run) -m pytest -q -s tests/image $(ARGS)

release: ## Write chart, image archive, bill of materials, notes and checksums into dist/
	@$(run) -m nicplug sandbox build helm
	@$(run) -m tools.release $(ARGS)

docs: ## Write the documents that are generated from the code
	@$(run) tools/reference.py
	@$(run) -m tools.path_page
	@$(run) -m tools.cli_page
	@$(run) -m tools.admission_page
	@$(run) -m tools.metrics_page
	@$(run) tools/monitoring.py
	@$(run) tools/dashboard.py
	@$(run) -m tools.chart_pages
	@$(run) -m tools.configuration_page
	@$(run) -m tools.growth_picture
	@$(run) -m tools.scale_page

clean: ## Remove what the targets leave in this checkout (the shared cache stays)
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find . -name .git -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -type d -prune -exec rm -rf {} +
