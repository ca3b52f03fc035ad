# What there is to do.
default:
    @just --list

# The server with its defaults; arguments as for `airlift serve`.
run *args:
    cargo run --bin airlift -- serve {{ args }}

# Everything CI checks; arguments as for `cargo nextest run`, like `-E 'test(upload)'`.
test *args:
    ./test.sh {{ args }}

# Formatting and warnings, without running anything.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

fmt:
    cargo fmt --all

# The tests that kill servers, database and broker, at full length (hours).
kill-test upgrades='5000' *args='':
    cargo build --workspace --bins
    AIRLIFT_UPGRADES={{ upgrades }} cargo nextest run --workspace --profile kill -E 'test(kill)' --run-ignored all {{ args }}

# The firmware for the boards: QEMU's RISC-V machine and the ESP32-C3.
boards:
    CARGO_TARGET_DIR={{ justfile_directory() }}/target/qemu-riscv32 ./firmware/qemu-riscv32/build.sh
    CARGO_TARGET_DIR={{ justfile_directory() }}/target/esp32c3 ESPTOOL=$(cargo run --quiet -p airlift-testkit --example esptool) ./firmware/esp32c3/build.sh

# The agent's Debian package, in target/debian; wants `cargo install cargo-deb`.
deb:
    cargo deb --package airlift-agent --locked

# The agent as one file without libraries, for this machine's architecture (docs/agent.md has what to know).
agent-static:
    #!/usr/bin/env bash
    set -euo pipefail
    host=$(rustc -vV | sed -n 's/^host: //p')
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --package airlift-agent --target "$host"
    ldd "target/$host/release/airlift-agent" 2>&1 | grep -E 'statically linked|not a dynamic executable'
    "target/$host/release/airlift-agent" --version

# Code, memory and stack of the gateway's core on a RISC-V chip, beside their aims.
size:
    ./firmware/size.sh

# The firmware under random power cuts, broken downloads and bad images, for as many runs as you like.
fault-test runs='1000000':
    AIRLIFT_RUNS={{ runs }} cargo nextest run -p airlift-firmware --profile kill -E 'test(random_fault_runs)'

# Power cuts at every step of an update on gateway and Linux device, and then at every one of each recovery (an hour).
cut-test:
    AIRLIFT_CUT_STRIDE=1 cargo nextest run -p airlift-firmware -p airlift-agent --profile kill -E 'test(cuts::) + test(transaction::cut::)'

# Each fuzz target for so many minutes, one after the other; wants nightly Rust and `cargo install cargo-fuzz`.
fuzz minutes='20':
    ./fuzz/run.sh {{ minutes }}

# Each figure of docs/PERFORMANCE.md beside this machine's limits, and a table of them (an hour); arguments
# as for airlift-load, like `poll storm` or `--data 1,10,100`.
bench *args:
    #!/usr/bin/env bash
    set -uo pipefail
    target=${CARGO_TARGET_DIR:-target}
    cargo build --release --bins --package airlift --package airlift-load || exit
    "$target/release/airlift-load" {{ args }} > "$target/bench.jsonl"
    status=$?
    "$target/release/airlift-load" table "$target/bench.jsonl"
    exit "$status"

# The memory of a fleet of simulated gateways in one process.
bench-fleet:
    ./benches/fleet.sh

# Filters, a dry run and lists over 1,000,000 gateways on PostgreSQL and 100,000 on SQLite, beside aims and plain SQL.
bench-scale:
    ./benches/scale.sh

# First paint of the page, and frames while 100,000 gateways are scrolled, printed beside their aims.
bench-page gateways='100000':
    cargo build --release --workspace --bins
    AIRLIFT_GATEWAYS={{ gateways }} cargo nextest run --release --package airlift --test e2e -E 'test(scrolling_through)' --no-capture

# Licences, advisories and sources of the dependencies.
deny:
    cargo deny check

# The code's documentation, opened in a browser.
docs:
    cargo doc --workspace --no-deps --open
