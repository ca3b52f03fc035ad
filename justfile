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

# Start-up time, idle memory and the memory of a 1 GB upload, printed beside their aims.
bench:
    ./benches/footprint.sh

# Licences, advisories and sources of the dependencies.
deny:
    cargo deny check

# The code's documentation, opened in a browser.
docs:
    cargo doc --workspace --no-deps --open
