# Each recipe is one plain command; `just` only saves typing. `just --list` shows them.

# Run the demo: a simulated Argil, the daemon and a receiver on one screen.
demo:
    cargo run -- demo

# Run all tests of cargo.
test:
    cargo test

# Run the tests whose name contains NAME.
test-one NAME:
    cargo test --test it -- {{NAME}}

# Check style rules: formatting, clippy, the rules of tests/it/layers.rs.
lint:
    cargo fmt --check && cargo clippy --all-targets --locked -- -D warnings && cargo test --test it -- tidy::

# Format the code.
fmt:
    cargo fmt

# Run everything that must pass before a change is merged.
ci:
    bash .ci/run

# Run the benchmarks; each prints ratios within one run.
bench:
    cargo bench

# Check the program against programs that nobody here wrote (mail servers, Prism, Chromium, …).
interop:
    cargo build && tests/interop/run

# Check unit and package under a booted systemd; needs root.
systemd:
    cargo build && tests/systemd/run

# Build the documentation of the code, private items included.
doc:
    cargo doc --no-deps --locked --document-private-items

# Build the binary that packages contain: target/dist/avatar-watch.
dist:
    cargo build --profile dist --locked

# Build the Debian package from it.
deb: dist
    packaging/generate target/dist/avatar-watch && packaging/deb/build target/dist/avatar-watch target/avatar-watch.deb

# Show which rows of the changelog are not released yet.
unreleased:
    sed -n '/^## Unreleased/,/^## [0-9]/p' CHANGELOG.md
