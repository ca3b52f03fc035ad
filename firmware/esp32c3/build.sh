#!/usr/bin/env bash
# Builds the ESP32-C3 image and refuses one that the chip's bootloader would not start.
set -euo pipefail

readonly SLOT_BYTES=$((0x1E0000)) # of an OTA slot in crates/esp/tables/esp32c3.csv
readonly TARGET=riscv32imc-unknown-none-elf
readonly NAME=airlift-esp32c3

source "$(dirname "${BASH_SOURCE[0]}")/../toolchain.sh"

usage() {
    cat <<'USAGE'
Usage: build.sh [-h] [-o FILE] [-- CARGO-ARGUMENT...]

Builds the firmware (release), makes the application image with esptool, checks it and prints sizes.
CARGO-ARGUMENTs go to `cargo build`, for example `-- --locked`.

  -o FILE   where the image goes (default: airlift-esp32c3.bin beside the ELF file)
  -h        this text

Environment:
  AIRLIFT_VERSION   the version in the image; default: the package's
  ESPTOOL           the esptool program (5 or newer); default: esptool from PATH
USAGE
    toolchain_usage
    cat <<'USAGE'
  CARGO_TARGET_DIR  as cargo knows it

Ends with 0 only if the image is valid and fits its slot.
USAGE
}

main() {
    local image=
    while getopts 'ho:' option; do
        case $option in
            h) usage; exit 0 ;;
            o) image=$(realpath -m "$OPTARG") ;;
            *) usage >&2; exit 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    local esptool
    esptool=$(command -v "${ESPTOOL:-esptool}") ||
        fail "no ${ESPTOOL:-esptool}: pip install esptool, or set ESPTOOL"
    [[ $esptool != */* ]] || esptool=$(realpath -s "$esptool")
    [[ -z ${CARGO_TARGET_DIR:-} ]] || CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")
    choose_toolchain "$TARGET"
    cd "$(dirname "${BASH_SOURCE[0]}")"

    local started=$SECONDS elf
    "$BUILD_CARGO" build --release "$@"
    elf=${CARGO_TARGET_DIR:-target}/$TARGET/release/$NAME
    [[ -n $image ]] || image=$elf.bin
    # The flash settings every module can run with; `esptool write-flash` can raise them.
    "$esptool" --chip esp32c3 elf2image --flash-size 4MB --flash-freq 40m --flash-mode dio \
        -o "$image" "$elf" >/dev/null

    local info bytes
    info=$("$esptool" image-info "$image")
    # esptool ends with 0 even for a bad image; both checks must be there and both must hold.
    [[ $info != *"(invalid"* && $(grep -c '(valid)' <<<"$info") -eq 2 ]] ||
        fail "esptool finds the image bad:"$'\n'"$info"
    bytes=$(stat -c %s "$image")
    ((bytes <= SLOT_BYTES)) || fail "the image has $bytes bytes, its slot $SLOT_BYTES"

    grep -E '^(Project name|App version|Checksum|Validation hash):' <<<"$info"
    if command -v size >/dev/null; then
        size -A "$elf" | awk '
            $1 ~ /^\.(trap|rwtext|text)/ { code += $2 }
            $1 ~ /^\.(data|bss|noinit|rtc_fast\.)/ { static += $2 }
            $1 == ".stack" { stack = $2 }
            $1 == ".dram2_uninit" { reclaimed = $2 }
            END {
                printf "code           %7d bytes\n", code
                printf "static RAM     %7d bytes, and %d where the bootloader was\n", static, reclaimed
                printf "left for stack %7d bytes\n", stack
            }'
    fi
    printf 'image          %7d bytes, %d %% of a slot of %d\n' \
        "$bytes" $((bytes * 100 / SLOT_BYTES)) "$SLOT_BYTES"
    echo "built in $((SECONDS - started)) s: $image"
}

main "$@"
