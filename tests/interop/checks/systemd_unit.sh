#!/usr/bin/env bash
# systemd-analyze reads the units: every key is known, and the exposure is low.
set -euo pipefail

units=$(cd "$(dirname "$0")/../../.." && pwd)/systemd
unit=$units/avatar-watch.service
# Ten times the maximum exposure: 1.1, and 1.0 with a root directory of its own.
threshold=11
threshold_own_root=10
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
    # Without `--recursive-errors` an unknown key would only be a warning.
    systemd-analyze verify --man=no --recursive-errors=no "$1"
}

not() { ! "$@"; }

# The unit, with the path of the program under test.
here=$folder/avatar-watch.service
sed "s|/usr/bin/avatar-watch|$AVATAR_WATCH_BIN|" "$unit" >"$here"
claim "systemd-analyze verify accepts the unit" verify "$here"

# The check itself can fail.
mkdir "$folder/broken"
sed 's|^RestartSec=|RestartSecs=|' "$here" >"$folder/broken/avatar-watch.service"
claim "… and does not accept one with a misspelt key" not verify "$folder/broken/avatar-watch.service"

claim "its exposure is at most 1.1" \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold" "$here"
exposure=$(systemd-analyze security --no-pager --offline=yes "$here" | grep -o 'Overall.*' || true)
echo "     $exposure"
sed '/^SystemCallFilter=/d; /^CapabilityBoundingSet=/d' "$here" >"$folder/broken/avatar-watch.service"
claim "… and would be higher without its filters" not \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold" \
    "$folder/broken/avatar-watch.service"

# With each drop-in: systemd reads one file after the other.
mkdir "$folder/with"
with() { cat "$here" "$units/drop-ins/$1.conf" >"$folder/with/avatar-watch.service"; }
with root-directory
# `verify` would search this machine for the mounted files, so it is not run.
claim "with a root directory of its own its exposure is at most 1.0" \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold_own_root" \
    "$folder/with/avatar-watch.service"
with programs
claim "systemd-analyze verify accepts it with programs" \
    verify "$folder/with/avatar-watch.service"
# Only newer versions know the keys of these drop-ins.
version=$(systemctl --version | sed -nE '1s/^systemd ([0-9]+).*/\1/p')
for known_from in notify-reload:253 restart-steps:254; do
    with "${known_from%:*}"
    if ((version >= ${known_from#*:})); then
        claim "… and with ${known_from%:*}" verify "$folder/with/avatar-watch.service"
    else
        claim "… and not with ${known_from%:*}, which $version does not know" \
            not verify "$folder/with/avatar-watch.service"
    fi
done

# The backup and its timer.
backup=$folder/avatar-watch-backup.service
sed "s|/usr/bin/avatar-watch|$AVATAR_WATCH_BIN|" "$units/avatar-watch-backup.service" >"$backup"
cp "$units/avatar-watch-backup.timer" "$folder"
claim "it accepts the backup" verify "$backup"
claim "… and its timer" verify "$folder/avatar-watch-backup.timer"
claim "the exposure of the backup is at most 1.0" \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold_own_root" "$backup"
exit "$failed"
