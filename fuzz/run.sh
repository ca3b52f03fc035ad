#!/usr/bin/env bash
# Runs each fuzz target for a while, one after the other. See ./run.sh -h.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
Usage: fuzz/run.sh [-h] [MINUTES [TARGET...]]

Runs each fuzz target for MINUTES (20) on its corpus in fuzz/corpus, which grows, and prints what came
of it. An input that fails is kept in fuzz/artifacts and ends the run: make it a named test in
crates/bundle/tests.

It needs a nightly Rust with its standard library, and cargo-fuzz: `cargo install cargo-fuzz`.

Environment:
  FUZZ_TOOLCHAIN    the nightly toolchain's name (nightly)
TEXT
}

# Longest input, bytes: room for a bundle of two small parts.
readonly input_bytes_max=16384
# One input, seconds.
readonly input_seconds_max=10

case ${1:-} in -h | --help) usage; exit 0 ;; esac
minutes=${1:-20}
[ "$#" = 0 ] || shift
toolchain=${FUZZ_TOOLCHAIN:-nightly}

targets=("$@")
if [ "${#targets[@]}" = 0 ]; then
    mapfile -t targets < <(cargo "+$toolchain" fuzz list --fuzz-dir . | grep -v '^seeds$')
fi
cargo "+$toolchain" run --quiet --bin seeds
for target in "${targets[@]}"; do
    echo "=== $target, $minutes minutes ==="
    cargo "+$toolchain" fuzz run --fuzz-dir . "$target" -- \
        -max_total_time=$((minutes * 60)) -max_len="$input_bytes_max" -timeout="$input_seconds_max" \
        -print_final_stats=1 -verbosity=1 2>&1 | tee "corpus/$target.log" |
        grep -E '^(Done|stat::|SUMMARY|==|artifact_prefix|thread|INFO: seed corpus)' || true
    grep -q '^Done ' "corpus/$target.log" || { echo "$target failed: see fuzz/artifacts and fuzz/corpus/$target.log" >&2; exit 1; }
done
