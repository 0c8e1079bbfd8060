#!/usr/bin/env bash
# systemd itself reads our units: every key is known, and the sandbox is tight.
set -euo pipefail

units=$(cd "$(dirname "$0")/../../.." && pwd)/systemd
unit=$units/avatar-watch.service
# Times ten, as systemd-analyze wants it: an exposure of at most 1.1, and in a root of its own 1.0.
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

claim "its exposure is at most 1.1" \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold" "$here"
exposure=$(systemd-analyze security --no-pager --offline=yes "$here" | grep -o 'Overall.*' || true)
echo "     $exposure"
sed '/^SystemCallFilter=/d; /^CapabilityBoundingSet=/d' "$here" >"$folder/broken/avatar-watch.service"
claim "… and would be higher without its filters" not \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold" \
    "$folder/broken/avatar-watch.service"

# With each drop-in, as systemd reads the two: one after the other.
mkdir "$folder/with"
with() { cat "$here" "$units/drop-ins/$1.conf" >"$folder/with/avatar-watch.service"; }
with root-directory
# What is mounted there is not the business of `verify`, which would look for it on this machine.
claim "in a root of its own its exposure is at most 1.0" \
    systemd-analyze security --no-pager --offline=yes --threshold="$threshold_own_root" \
    "$folder/with/avatar-watch.service"
with programs
claim "systemd-analyze verify accepts it with leave to start programs" \
    verify "$folder/with/avatar-watch.service"
# The keys of newer systemds are known to those only.
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
