#!/usr/bin/env bash
# Builds the bootloader and the app for QEMU's RISC-V machine.
set -euo pipefail

readonly TARGET=riscv32imac-unknown-none-elf

source "$(dirname "${BASH_SOURCE[0]}")/../toolchain.sh"

usage() {
    cat <<'USAGE'
Usage: build.sh [-h] [CARGO-ARGUMENT...]

Builds the ELF files `bootloader`, `app` and `core_size` (release).

Environment:
USAGE
    toolchain_usage
    cat <<'USAGE'
  CARGO_TARGET_DIR  as cargo knows it
USAGE
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    usage
    exit 0
fi
[[ -z ${CARGO_TARGET_DIR:-} ]] || CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")
choose_toolchain "$TARGET"
cd "$(dirname "${BASH_SOURCE[0]}")"
"$BUILD_CARGO" build --release "$@"
