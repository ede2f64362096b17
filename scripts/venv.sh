#!/bin/sh
# Create a virtual environment and install Holdfast into it: scripts/venv.sh DIRECTORY
#
# Works on a bare Debian, where `python3 -m venv` needs a package that may be missing. PYTHON=... picks the interpreter.
set -eu

directory=${1:?usage: scripts/venv.sh DIRECTORY}

fail() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Holdfast needs Python 3.11 or later${PYTHON:+, which $PYTHON is not}. On Debian 12: apt-get install python3 python3-venv"
}

can_make_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian ships the venv module without what it needs to work; the package name carries the version.
install_venv_package() {
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get >/dev/null || return 1
    echo "Installing $package, which this Python needs for virtual environments"
    as_root apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package"
}

python=$(find_python)
if ! [ -x "$directory/bin/pip" ]; then
    can_make_venv "$python" || install_venv_package "$python" || true
    can_make_venv "$python" || fail "$python cannot create virtual environments. On Debian: sudo apt-get install python3-venv"
    "$python" -m venv --clear "$directory"
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
"$directory/bin/python" -m pip install --quiet --upgrade 'pip>=25.1' # the first that knows dependency groups
"$directory/bin/python" -m pip install --editable .
