#!/bin/sh
# Install the Debian packages that the tests and benchmarks use. Does nothing, quickly, when they are there.
#
# pushpin, zurl: the same tests run against Pushpin, and the benchmarks compare with it. chromium: the demo page in a
# real browser. nginx, libnginx-mod-nchan: a proxy and a fan-out to compare with. gcc: the load client. curl: the
# commands that the documentation shows. nodejs, npm: a backend in Express; those that did not come as packages will do.
set -eu

packages="ca-certificates chromium chromium-driver curl gcc libc6-dev libnginx-mod-nchan make nginx pushpin python3"
packages="$packages python3-venv zurl"
command -v npm >/dev/null || packages="$packages nodejs npm"

missing=
for package in $packages; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "The tests use these Debian packages; install what your system calls them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then root=; else root="sudo -n"; fi

# The tests start these servers themselves, on ports of their own. Debian starts them on installation unless told not to.
policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
    $root chmod +x $policy
    trap '$root rm -f $policy' EXIT
fi

echo "Installing$missing"
$root apt-get update -q
# shellcheck disable=SC2086 # a list of words
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
if [ -d /run/systemd/system ]; then
    for service in nginx pushpin zurl; do
        case "$missing " in *" $service "*) $root systemctl disable --quiet "$service" || true ;; esac
    done
fi
