# Everything that people and CI type. `make help` lists it.

PACKAGES := runc conmon busybox-static e2fsprogs xfsprogs util-linux mount iptables nfs-ganesha nfs-ganesha-vfs bindfs btrfs-progs libclang1-14 gcc libc6-dev curl ca-certificates tar
# For guests with a kernel of their own, beside the kernel itself, which the harness fetches and does not install.
GUEST_PACKAGES := qemu-system-x86 kmod xz-utils iproute2 nfs-common nfs-ganesha nfs-ganesha-vfs
CARGO ?= cargo
# The profile of tests, and of the demo in CI: see Cargo.toml.
PROFILE ?= ci
# What `make install` installs.
BINARY ?= target/release/orlop
export PREFIX DESTDIR

.PHONY: help all setup guest-setup demo compose-demo install uninstall test test-vm bench lint clean

all: ## the release binary: target/release/orlop
all: setup
	$(CARGO) build --release --bin orlop

help: ## this list
	@sed -n 's/^\([a-z-]*\): ##/\1 /p' $(MAKEFILE_LIST) | expand -t 10

setup: ## install what is missing (Debian packages, rustup); says what it would do on other systems
	@sh .ci/setup.sh $(PACKAGES)
	@$(CARGO) fetch --quiet --locked

demo: ## the main job on this machine, told from start to end
demo: all
	bash examples/demo.sh

compose-demo: ## the same with a server, three nodes and an NFS server, in containers (docker-compose.yml)
compose-demo: all
	bash examples/compose-demo.sh

install: ## the built binary and systemd units to PREFIX (/usr/local); starts nothing
	sh packaging/install.sh install $(BINARY)

uninstall: ## unmount everything and remove them; the data stays unless DATA=yes
	sh packaging/install.sh uninstall $(if $(filter yes,$(DATA)),--data)

test: ## all tests that this machine can run; those that it cannot say so
test: setup
	@$(MAKE) --no-print-directory guest-setup || echo 'SKIPPED guests: what they need could not be installed'
	@# The binary that tests start is built along with them: alone it would want some dependencies built once more.
	$(CARGO) build --profile $(PROFILE) --workspace --all-targets
	$(CARGO) test --profile $(PROFILE) --workspace --no-fail-fast

test-vm: ## what only guests with a kernel of Debian's can show (NFS over its client, dead servers and nodes), and long stories
test-vm: setup guest-setup
	$(CARGO) build --profile $(PROFILE) --workspace --all-targets
	$(CARGO) test --profile $(PROFILE) --workspace --test 'vm_*' --no-fail-fast -- --include-ignored --test-threads 1
	ORLOP_MOVES=50 $(CARGO) test --profile $(PROFILE) --workspace --test root_pools

guest-setup:
	@sh .ci/setup.sh $(GUEST_PACKAGES)

lint: ## formatting, clippy, and cargo-deny where it is installed
lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --profile $(PROFILE) --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check bans licenses sources; \
	else echo 'SKIPPED cargo deny: not installed (cargo install cargo-deny)'; fi

bench: ## measure against the floors of this machine; `make bench nfs` measures shared volumes
bench: all
	$(CARGO) run --release --package orlop-e2e --bin bench -- $(filter nfs,$(MAKECMDGOALS))

nfs: bench

clean: ## remove what was built
	$(CARGO) clean
