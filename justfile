# Each recipe is one plain command. `just --list` lists them.

# Run the demo: a simulated Argil, the daemon and a receiver on one screen.
demo:
    cargo run -- demo

# Run the unit tests, tests/it and tests/memory.
test:
    cargo test

# Run the tests whose name contains NAME.
test-one NAME:
    cargo test --test it -- {{NAME}}

# Check style rules: formatting, clippy, the rules of tests/it/layers.rs.
lint:
    cargo fmt --check && cargo clippy --all-targets --locked -- -D warnings && cargo test --test it -- layers::

# Format the code.
fmt:
    cargo fmt

# Run everything that must pass before a change is merged.
ci:
    bash .ci/run

# Run the benchmarks; each prints ratios within one run.
bench:
    cargo bench

# Compare the speed of this code with that of a revision, pair by pair in one run.
bench-compare REV:
    tests/bench/compare {{REV}}

# Check the program against programs that others wrote (mail servers, Prism, Chromium, …).
interop:
    cargo build && tests/interop/run

# Check unit and package under a booted systemd; needs root.
systemd:
    cargo build && tests/systemd/run

# Build the documentation of the code, private items included.
doc:
    cargo doc --no-deps --locked --document-private-items

# Build the program for packages: target/dist/avatar-watch.
dist:
    cargo build --profile dist --locked

# Build the Debian package: target/avatar-watch.deb.
deb: dist
    packaging/generate target/dist/avatar-watch && packaging/deb/build target/dist/avatar-watch target/avatar-watch.deb

# Print the part of the changelog that is not released yet.
unreleased:
    sed -n '/^## Unreleased/,/^## [0-9]/p' CHANGELOG.md
