#!/usr/bin/env bash
# Prints how large the gateway's core is on a 32-bit RISC-V chip, beside its aims.
set -euo pipefail

readonly TARGET=riscv32imac-unknown-none-elf
readonly TEXT_KB_AIM=60 RAM_KB_AIM=24

usage() {
    cat <<'USAGE'
Usage: size.sh [-h]

Builds the core alone (no network, no drivers, no upload page), counts its code and constants, and
plays one whole signed update of 300,000 bytes on qemu-system-riscv32 to find its deepest stack.

It needs a RISC-V toolchain (see esp32c3/build.sh -h), qemu-system-riscv32 and readelf.
USAGE
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    usage
    exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(realpath ..)
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/qemu-riscv32}
export CARGO_TARGET_DIR
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

qemu-riscv32/build.sh --quiet --bin core_size
(unset CARGO_TARGET_DIR && cargo run --quiet -p airlift-simflash --example core_size "$files")
elf=$CARGO_TARGET_DIR/$TARGET/release/core_size
told=$(timeout 120 qemu-system-riscv32 -M virt -m 64M -bios none -display none -monitor none \
    -serial stdio -no-reboot -device "loader,file=$elf,cpu-num=0" \
    -device "loader,file=$files/flash.bin,addr=0x81000000,force-raw=on" \
    -device "loader,file=$files/server.bin,addr=0x81200000,force-raw=on")

section() { readelf -SW "$elf" | awk -v name="$1" '{ sub(/\[ */, "[") } $2 == name { print $6 }'; }
number() { sed -nE "s/^core: $1 ([0-9]+) bytes.*/\1/p" <<<"$told"; }

code=$((16#$(section .text))) constants=$((16#$(section .rodata)))
state=$(number state) stack=$(number stack)
printf 'text   %6d bytes: %d code, %d constants (aim: under %d KB)\n' \
    $((code + constants)) "$code" "$constants" "$TEXT_KB_AIM"
printf 'RAM    %6d bytes: %d static, %d deepest stack (aim: under %d KB)\n' \
    $((state + stack)) "$state" "$stack" "$RAM_KB_AIM"
printf 'update %6d bytes, confirmed\n' "$(number updated)"
