# What `npm ci` put here comes first, so that every target runs on the pinned Node whatever the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
STAMP := node_modules/.package-lock.json
only ?=
rounds ?=

# A setup that was cut short begins anew.
.DELETE_ON_ERROR:
.PHONY: help setup demo test soak check format build bench bench-quick bench-million bench-resume servers peers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(STAMP) ## install what the program needs, the pinned Node included

# Only `node` needs its script: it fetches the pinned Node. The others would compile what is there already, or what is
# done without.
$(STAMP): package.json package-lock.json
	npm ci --ignore-scripts
	npm rebuild node
	@touch $@

demo: setup ## back a sample tree up, kill the backup, resume it, restore, compare
	@node spec/demo.ts

test: setup servers ## run the specs against real servers; only='journal sftp' runs those files
	@node --disable-warning=ExperimentalWarning spec/run.ts $(only)

soak: setup servers ## kill backups at random for a long while, then fuzz; kills=300 seed=1 life=7 only='sftp webdav'
	@node --disable-warning=ExperimentalWarning spec/soak.ts kills='$(kills)' seed='$(seed)' life='$(life)' only='$(only)'
	@FUZZ_RUNS=2000 node --disable-warning=ExperimentalWarning spec/run.ts fuzz

check: setup ## type check, lint, format check
	@tsc
	@biome check --error-on-warnings .

format: setup ## format and mend what the linter can
	@biome check --write .

build: setup ## make dist/, which is what `npm pack` publishes
	@node build.ts

BENCH := node --disable-warning=ExperimentalWarning spec/bench

bench: setup servers peers ## measure against restic, borg, rclone, write docs/benchmarks.md; only='big small' rounds=3
	@$(BENCH)/bench.ts all only='$(only)' rounds=$(rounds)

bench-quick: setup servers peers ## a minute of it, printed only
	@$(BENCH)/bench.ts quick only='$(only)' rounds=$(rounds)

bench-million: setup servers peers ## a million files and one of 64 GiB, write docs/benchmarks.md
	@$(BENCH)/bench.ts million only='$(only)' rounds=$(rounds)

bench-resume: setup servers peers ## kill backups at random, count what is sent again, draw it; rounds=10
	@$(BENCH)/kills.ts only='$(only)' rounds=$(rounds)

servers: # the servers the specs run against, from Debian's packages where that is possible
	@sh spec/helpers/install-servers.sh

peers: # what it is measured against, and with
	@sh spec/helpers/install-servers.sh /usr/bin/restic restic /usr/bin/borg borgbackup /usr/bin/time time

clean: ## remove what was built and installed
	rm -rf dist node_modules
