#!/usr/bin/env bash
# systemd itself reads our unit: every key is known, and the sandbox is tight.
set -euo pipefail

unit=$(cd "$(dirname "$0")/../../.." && pwd)/systemd/avatar-watch.service
# Times ten, as systemd-analyze wants it: an exposure of at most 1.2.
threshold=12
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

claim() {
    local text=$1
    shift
    if "$@" >"$folder/said" 2>&1; then
        echo "ok   $text"
    else
        echo "FAIL $text"
        sed 's/^/     /' "$folder/said"
        failed=1
    fi
}

verify() {
    # Without `--recursive-errors` an unknown key would be told and forgiven.
    systemd-analyze verify --man=no --recursive-errors=no "$1"
}

not() { ! "$@"; }

# The unit, with the program where it is now.
here=$folder/avatar-watch.service
sed "s|/usr/bin/avatar-watch|$AVATAR_WATCH_BIN|" "$unit" >"$here"
claim "systemd-analyze verify accepts the unit" verify "$here"

# The same check has to be able to fail.
mkdir "$folder/broken"
sed 's|^RestartSec=|RestartSecs=|' "$here" >"$folder/broken/avatar-watch.service"
claim "… and does not accept one with a misspelt key" not verify "$folder/broken/avatar-watch.service"

claim "its exposure is at most 1.2" \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold" "$here"
exposure=$(systemd-analyze security --no-pager --offline=yes "$here" | grep -o 'Overall.*' || true)
echo "     $exposure"
sed '/^SystemCallFilter=/d; /^CapabilityBoundingSet=/d' "$here" >"$folder/broken/avatar-watch.service"
claim "… and would be higher without its filters" not \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold" \
    "$folder/broken/avatar-watch.service"
exit "$failed"
