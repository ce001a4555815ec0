#!/bin/sh
# Makes .venv from uv.lock; brings uv where it is missing.
set -eu
fail() { echo "setup: $1" >&2; exit 2; }

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    uv=.tools/bin/uv
    if [ ! -x "$uv" ]; then
        command -v python3 >/dev/null || fail "Python 3.11 or later is needed"
        if ! python3 -c 'import ensurepip' 2>/dev/null; then
            [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
                fail "Python's venv module is needed: install python3-venv, or uv"
            echo "setup: installing python3-venv (apt-get)" >&2
            apt-get update -q >/dev/null && apt-get install -y -q python3-venv >/dev/null
        fi
        echo "setup: installing uv into .tools" >&2
        python3 -m venv .tools &&
            .tools/bin/python -m pip install -q --only-binary :all: --require-hashes -r scripts/uv.txt
    fi
fi
if [ ! -d .venv ] && [ -z "${UV_PYTHON:-}" ]; then
    # As compiled from source (pyenv), unless asked for, Python is not optimised and takes a fifth longer.
    plain='import sys, sysconfig
sys.exit("--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""))'
    first=$("$uv" python find --system 2>/dev/null) || fail "Python 3.11 or later is needed"
    system=$(command -pv python3 || true)
    if [ -n "$system" ] && "$first" -c "$plain" &&
        "$system" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "setup: with $system (UV_PYTHON chooses another)" >&2
        export UV_PYTHON="$system"
    fi
fi
"$uv" sync --frozen --quiet --compile-bytecode || fail "the environment could not be made from uv.lock"
