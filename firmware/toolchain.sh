# Sourced by the boards' build.sh: finds a toolchain for bare-metal RISC-V.
# shellcheck shell=bash

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Sets BUILD_CARGO and RUSTC for a target, and for a toolchain without that target's library what
# lets it build one.
choose_toolchain() {
    local target=$1 linker_variable
    if [[ -z ${BUILD_CARGO:-} && -z ${BUILD_RUSTC:-} ]]; then
        if has_library rustc "$target"; then
            BUILD_CARGO=cargo BUILD_RUSTC=rustc
        else
            BUILD_CARGO=/usr/bin/cargo BUILD_RUSTC=/usr/bin/rustc
        fi
    fi
    BUILD_CARGO=${BUILD_CARGO:-cargo}
    export RUSTC=${BUILD_RUSTC:-rustc}
    command -v "$BUILD_CARGO" >/dev/null && command -v "$RUSTC" >/dev/null ||
        fail "no toolchain: install rustc-web cargo-web rust-web-src lld-22, or rustup and its $target"
    if has_library "$RUSTC" "$target"; then
        return
    fi
    export RUSTC_BOOTSTRAP=1
    linker_variable=CARGO_TARGET_${target^^}_LINKER
    linker_variable=${linker_variable//-/_}
    if [[ -z ${!linker_variable:-} ]]; then
        local linker
        linker=${LINKER:-$(newest_linker)} || fail "no ld.lld: install lld-22, or set LINKER"
        export "$linker_variable=$linker"
    fi
}

has_library() {
    local sysroot
    sysroot=$("$1" --print sysroot 2>/dev/null) && [[ -d $sysroot/lib/rustlib/$2/lib ]]
}

newest_linker() {
    local found
    found=$(compgen -c | grep -Ex '(rust-lld|ld\.lld(-[0-9]+)?)' | sort -uV | tail -n 1)
    [[ -n $found ]] && echo "$found"
}

toolchain_usage() {
    cat <<'USAGE'
  BUILD_CARGO, BUILD_RUSTC
                    the toolchain; default: rustup's if its target is installed, else /usr/bin's
                    (CARGO is not asked: a test run by cargo has it set to its own)
  LINKER            the linker for /usr/bin's toolchain; default: the newest ld.lld or rust-lld found
USAGE
}
