#!/usr/bin/env bash
# Builds the ESP32-C3 image and refuses one that the chip's bootloader would not start.
set -euo pipefail

readonly SLOT_BYTES=$((0x1E0000)) # of an OTA slot in firmware/tables/esp32c3.csv
readonly TARGET=riscv32imc-unknown-none-elf
readonly NAME=airlift-esp32c3

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
  BUILD_CARGO, BUILD_RUSTC
                    the toolchain; default: rustup's if its target is installed, else /usr/bin's
                    (CARGO is not asked: a test run by cargo has it set to its own)
  LINKER            the linker for /usr/bin's toolchain; default: the newest ld.lld or rust-lld found
  CARGO_TARGET_DIR  as cargo knows it

Ends with 0 only if the image is valid and fits its slot.
USAGE
}

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

# Sets BUILD_CARGO and RUSTC, and for a toolchain without the target's library what lets it build one.
choose_toolchain() {
    if [[ -z ${BUILD_CARGO:-} && -z ${BUILD_RUSTC:-} ]]; then
        if has_library rustc; then
            BUILD_CARGO=cargo BUILD_RUSTC=rustc
        else
            BUILD_CARGO=/usr/bin/cargo BUILD_RUSTC=/usr/bin/rustc
        fi
    fi
    BUILD_CARGO=${BUILD_CARGO:-cargo}
    export RUSTC=${BUILD_RUSTC:-rustc}
    command -v "$BUILD_CARGO" >/dev/null && command -v "$RUSTC" >/dev/null ||
        fail "no toolchain: install rustc-web cargo-web rust-web-src lld-22, or rustup and its $TARGET"
    has_library "$RUSTC" && return
    export RUSTC_BOOTSTRAP=1
    if [[ -z ${CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER:-} ]]; then
        CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER=${LINKER:-$(newest_linker)} ||
            fail "no ld.lld: install lld-22, or set LINKER"
        export CARGO_TARGET_RISCV32IMC_UNKNOWN_NONE_ELF_LINKER
    fi
}

has_library() {
    local sysroot
    sysroot=$("$1" --print sysroot 2>/dev/null) && [[ -d $sysroot/lib/rustlib/$TARGET/lib ]]
}

newest_linker() {
    local found
    found=$(compgen -c | grep -Ex '(rust-lld|ld\.lld(-[0-9]+)?)' | sort -uV | tail -n 1)
    [[ -n $found ]] && echo "$found"
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
    choose_toolchain
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
