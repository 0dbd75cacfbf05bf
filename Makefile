PYTHON ?= python3
BIN := .venv/bin
NODE := tests/sdks/node
WEB := tests/web/node
SYNAPSE := 1.163.2
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

TEST_PROGRAMS := mariadbd redis-server rsync exiftool ffmpeg heif-enc avifenc cwebp jpegtran nginx haproxy caddy faketime chromium firefox-esr npm java cc mkfs.ext4 eatmydata
TEST_PACKAGES := mariadb-server redis-server rsync libimage-exiftool-perl ffmpeg libheif-examples libavif-bin webp libjpeg-turbo-progs nginx-light haproxy caddy faketime chromium firefox-esr default-jre-headless libgoogle-gson-java fonts-noto-cjk fonts-noto-color-emoji fonts-inter gcc libc6-dev e2fsprogs eatmydata $(if $(shell command -v npm),,npm)

.PHONY: help setup run test test-deps test-sdks check bench bench-parts bench-deps prove prove-kills prove-power prove-io prove-transport prove-timing prove-attacks prove-erasing prove-restart prove-rounds prove-cluster release lock
.DEFAULT_GOAL := help

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## make .venv with what the server needs

run: setup ## start the server on 127.0.0.1:8080
	@exec $(BIN)/python server.py

# Three workers and hundreds of interpreters would compile everything anew where the environment keeps no bytecode.
test: export PYTHONDONTWRITEBYTECODE :=
test: .venv/.installed-dev .venv-sdks/.installed $(WEB)/node_modules/.installed ## run every test, on SQLite and on MariaDB where mariadbd is installed
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

test-sdks: .venv/.installed-dev .venv-sdks/.installed $(NODE)/node_modules/.installed ## try the emulators with the vendors' own clients, Python's (which make test has too) and Node's
	$(BIN)/python -m pytest -n 2 tests/sdks

test-deps: ## install what the tests start and ask (Debian, Ubuntu): MariaDB, Redis, rsync, encoders and judges of image files, proxies, a clock that jumps, browsers, Java, what makes disks fail
	@export PATH="$$PATH:/usr/sbin"; (for program in $(TEST_PROGRAMS); do command -v $$program >/dev/null || exit 1; done) || \
	{ $(SUDO) apt-get update --quiet && $(SUDO) apt-get install --yes --no-install-recommends $(TEST_PACKAGES); }

check: .venv/.installed-dev ## formatting, lint, types, import rules, documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file clients/python/pyproject.toml
	$(BIN)/lint-imports
	cd clients/python/src && ../../../$(BIN)/lint-imports --config ../pyproject.toml
	$(BIN)/python -m pytest tests/docs

bench: .venv/.installed-bench ## measure an image's life beside nginx, Tornado, SeaweedFS, Synapse and Prosody: the figures of docs/speed.md (SHORT=--short)
	$(BIN)/python -m bench.speed $(SHORT)

bench-parts: .venv/.installed-bench ## measure single parts, each for itself
	for part in authentication discovery group_image messages listeners relay round_trips engines growth metadata; do $(BIN)/python -m bench.$$part || exit 1; done

bench-deps: .venv-synapse/.installed ## install what make bench compares with: Synapse, in an environment of its own, and Prosody (Debian, Ubuntu)
	@command -v prosody >/dev/null || { $(SUDO) apt-get update --quiet && $(SUDO) apt-get install --yes --no-install-recommends prosody; }

prove: prove-kills prove-power prove-io prove-timing prove-transport prove-attacks prove-erasing prove-restart prove-rounds prove-cluster ## what takes too long for every run of the tests: docs/proof.md (GO_ON=--go-on: also where the machine cannot do all)

prove-kills: .venv/.installed-dev ## a server killed KILLS=200 times under load, and 50 times on MariaDB: nothing is lost or doubled
	$(BIN)/python -m tests.process.killing $(KILLS)
	$(BIN)/python -m tests.process.killing --mariadb 50

prove-power: .venv/.installed-dev ## a disk whose power is cut CUTS=20 times under load (root, loop devices, eatmydata): nothing is lost or doubled
	$(BIN)/python -m tests.process.power_cuts $(CUTS) $(GO_ON)

prove-io: .venv/.installed-dev ## a disk that fails once, at every call of an upload and a hand-over (a C compiler): nothing is lost or doubled
	$(BIN)/python -m tests.process.io_errors $(GO_ON)

prove-timing: .venv/.installed-dev ## no answer's time tells what the answer does not: five questions, 200 pairs each
	$(BIN)/python -m tests.process.timing

prove-attacks: .venv/.installed-dev ## how others fare while one account, address, network, host, friend or group abuses the server
	$(BIN)/python -m tests.process.attacks

prove-erasing: .venv/.installed-dev ## how people fare while a million old rows are erased, and a tenth of them on MariaDB
	$(BIN)/python -m tests.process.erasing 250000
	$(BIN)/python -m tests.process.erasing --mariadb

prove-restart: .venv/.installed-dev ## a restart under 200 requests/s, 50 uploads and 2,000 readers of events: nobody is refused, cut off or forgotten
	$(BIN)/python -m tests.process.restarting

prove-rounds: .venv/.installed-dev ## tests that have a longer form: 90 random lives of images, a kill at each step of an upload in each protocol, 26 kills among failing push vendors, each screen in each size and colour scheme, a million broken pictures
	LONG_ROUNDS=1 $(BIN)/python -m pytest tests/process/test_model.py tests/process/test_relay_chaos.py tests/process/test_uploads_hostile.py tests/web/test_accessibility.py tests/models/metadata/test_removal.py

prove-cluster: .venv/.installed-dev ## three machines: each part killed, hung and cut off in turn, nodes parted from each other (root); wake-ups killed 500 times
	$(BIN)/python -m tests.process.cluster.proof $(GO_ON)
	$(BIN)/python -m tests.process.cluster.waking

release: ## with VERSION=0.2.0 commit that version; then its source archive, SBOM and checksums, in dist/: the same bytes each time
	$(PYTHON) .ci/release.py $(VERSION)

prove-transport: .venv/.installed-dev ## a million odd requests by three parsers; 2,000 slow heads, bodies, readers and WebSockets, 100,000 cut connections, plain and with TLS
	$(BIN)/python -m tests.transport.differential 1000000
	$(BIN)/python -m tests.process.crowds

lock: .venv/.installed-dev ## renew the lock files (authors; needs uv)
	for file in requirements requirements-dev requirements-bench requirements-sdks; do \
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate $$file.in -o $$file.lock || exit 1; done
	for folder in $(NODE) $(WEB); do npm --prefix $$folder install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund || exit 1; done

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Glimpse needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: requirements.lock | .venv/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.venv/.installed-bench: requirements-bench.lock .venv/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

.venv-sdks/.installed: requirements-sdks.lock | .venv/.made
	$(PYTHON) -m venv .venv-sdks
	.venv-sdks/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-sdks.lock
	@touch $@

.venv-synapse/.installed: | .venv/.made
	$(PYTHON) -m venv .venv-synapse
	.venv-synapse/bin/python -m pip install --quiet --disable-pip-version-check matrix-synapse==$(SYNAPSE)
	@touch $@

%/node_modules/.installed: %/package-lock.json
	npm --prefix $* ci --ignore-scripts --no-audit --no-fund
	@touch $@
