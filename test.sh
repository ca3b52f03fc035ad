#!/usr/bin/env bash
# Installs what the tests need, checks everything, runs every test. See ./test.sh -h.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
Usage: ./test.sh [-h] [arguments of `cargo nextest run`]

Checks formatting and warnings, builds all binaries and runs all tests against real servers.
On Debian and Ubuntu it first installs, with apt-get (and sudo unless run as root), what is missing
of: postgresql mosquitto mosquitto-clients caddy nginx docker-compose openssl curl gpg gpg-agent zstd
prometheus systemd python3-venv nodejs npm chromium, a C toolchain, qemu-system-misc and the RISC-V
toolchain rustc-web cargo-web rust-web-src lld-22; then cargo-nextest with cargo. The tests start
servers of their own on free ports of the loopback address; services of the system are neither used
nor started nor stopped.

Examples:
  ./test.sh                          everything
  ./test.sh -E 'test(upload)'        only tests whose name contains "upload"
  ./test.sh -E 'package(airlift-testkit)'  only one package

Environment:
  AIRLIFT_TEST_POSTGRES_URL          use this PostgreSQL (URL of a superuser) instead of an own one
  NEXTEST_TEST_THREADS               so many tests at once instead of two for each core and one
TEXT
}

# Servers that Debian's packages enable at boot.
readonly service_packages=(postgresql mosquitto caddy nginx prometheus)
readonly policy=/usr/sbin/policy-rc.d
readonly policy_mark='# written by airlift test.sh; safe to remove'
# Making the cluster, seconds.
readonly cluster_seconds_max=120

policy_written=false
cluster_pid=
cluster_input=
boards_pid=
boards_log=

section() { printf '\n=== %s ===\n' "$*"; }
fail() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

cleanup() {
    local status=$?
    trap - EXIT INT TERM
    if [ "$policy_written" = true ]; then as_root rm -f "$policy" || true; fi
    if [ -n "$cluster_pid" ]; then
        # The end of its input ends the cluster.
        exec {cluster_input}>&- || true
        wait "$cluster_pid" 2>/dev/null || true
    fi
    # Its own process group: the compilers below it end too.
    if [ -n "$boards_pid" ]; then kill -- "-$boards_pid" 2>/dev/null || true; fi
    if [ -n "$boards_log" ]; then rm -f "$boards_log"; fi
    if [ -n "${AIRLIFT_TEST_LOGS:-}" ]; then rm -rf "$AIRLIFT_TEST_LOGS"; fi
    exit "$status"
}

has_program() {
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null
}

# Rust for the boards' chips: rustup's targets, or Debian's packages, which can build them.
has_riscv_toolchain() {
    local libraries
    libraries=$(rustc --print sysroot)/lib/rustlib
    if [ -d "$libraries/riscv32imc-unknown-none-elf" ] && [ -d "$libraries/riscv32imac-unknown-none-elf" ]; then
        return
    fi
    has_program ld.lld-22 && [ -x /usr/bin/cargo ] && compgen -G '/usr/lib/rustlib/src/rust/library' >/dev/null
}

missing_packages() {
    has_program initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
    has_program mosquitto || echo mosquitto
    { has_program mosquitto_pub && has_program mosquitto_sub; } || echo mosquitto-clients
    has_program caddy || echo caddy
    has_program nginx || echo nginx
    has_program docker-compose || echo docker-compose
    has_program openssl || echo openssl
    has_program curl || echo curl
    has_program gpg || echo gpg
    has_program systemd-analyze || echo systemd
    { has_program prometheus && has_program promtool; } || echo prometheus
    has_program zstd || echo zstd
    has_program gpg-agent || echo gpg-agent
    has_program cc || echo build-essential
    has_program qemu-system-riscv32 || echo qemu-system-misc
    has_riscv_toolchain || printf '%s\n' rustc-web cargo-web rust-web-src lld-22
    has_program node || echo nodejs
    has_program npm || echo npm
    has_program chromium || echo chromium
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# New servers must not run: Debian asks this file before it starts one, also for servers that stand
# idle already and would be restarted.
forbid_services() {
    if [ -e "$policy" ] && ! grep -qF "$policy_mark" "$policy"; then return; fi
    policy_written=true
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

allow_services() {
    if [ "$policy_written" = false ]; then return; fi
    as_root rm -f "$policy"
    policy_written=false
}

install_packages() {
    local packages=("$@") package
    has_program apt-get || fail "please install ${packages[*]} (there is no apt-get here), then run this again"
    [ "$(id -u)" = 0 ] || has_program sudo || fail "please install ${packages[*]} as root (there is no sudo here), then run this again"
    forbid_services
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install -q -y --no-install-recommends "${packages[@]}"
    allow_services
    # Nor at the next boot; but only what was installed just now. `--now`: an older policy file may
    # have let it start.
    for package in "${service_packages[@]}"; do
        if [[ " ${packages[*]} " == *" $package "* ]] && has_program systemctl; then
            as_root systemctl disable --now --quiet "${package%-light}" || true
        fi
    done
}

# Built with everything else: alone, cargo would build the same libraries with other features.
example() {
    local name=$1 target
    shift
    target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    "$target/debug/examples/$name" "$@"
}

start_cluster() {
    coproc cluster { example postgres_for_tests; }
    cluster_pid=$cluster_PID
    local url='' output=${cluster[0]}
    cluster_input=${cluster[1]}
    read -r -t "$cluster_seconds_max" url <&"$output" || fail "PostgreSQL for the tests did not start; its words are above"
    export AIRLIFT_TEST_POSTGRES_URL=$url
}

build_boards() {
    ESPTOOL=$(example esptool)
    export ESPTOOL
    CARGO_TARGET_DIR=$PWD/target/qemu-riscv32 firmware/qemu-riscv32/build.sh --quiet --locked
    CARGO_TARGET_DIR=$PWD/target/esp32c3 firmware/esp32c3/build.sh -- --quiet --locked
}

# Beside the rest, with one compiler: crates that wait for each other leave a core idle.
start_boards() {
    boards_log=$(mktemp)
    set -m
    CARGO_BUILD_JOBS=1 build_boards >"$boards_log" 2>&1 &
    boards_pid=$!
    set +m
}

await_boards() {
    local status=0
    wait "$boards_pid" || status=$?
    boards_pid=
    cat "$boards_log"
    [ "$status" = 0 ] || fail 'the boards could not be built; why is above'
}

for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --) break ;;
    esac
done
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

section 'Tools'
has_program cargo || fail 'Rust is missing: see https://rustup.rs, then run this again'
mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing ${missing[*]}"
    install_packages "${missing[@]}"
fi
if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    rustup component add rustfmt clippy
fi
cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
echo 'all there'

section 'Formatting'
cargo fmt --all --check

section 'Binaries'
cargo build --workspace --all-targets
start_boards

section 'Warnings'
cargo clippy --workspace --all-targets -- -D warnings

section 'Boards'
await_boards

section 'PostgreSQL'
if [ -z "${AIRLIFT_TEST_POSTGRES_URL:-}" ]; then start_cluster; fi
echo "$AIRLIFT_TEST_POSTGRES_URL"

section 'Tests'
# What our programs log meanwhile.
AIRLIFT_TEST_LOGS=$(mktemp -d)
export AIRLIFT_TEST_LOGS
# Most of them wait for a server or for a time to pass; one is a fleet that waits for minutes.
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((2 * $(nproc) + 1))}
cargo nextest run --workspace "$@"

section 'Secrets in logs'
example secrets_in_logs "$AIRLIFT_TEST_LOGS"
