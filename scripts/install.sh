#!/usr/bin/env bash
# Create .venv and install Kinograd with its development tools and the tested versions.
#
#   scripts/install.sh             what make demo and make test need
#   scripts/install.sh ray chat    with extras of pyproject.toml
#
# torch comes first and pinned: left to itself pip takes the newest, and on Linux that
# means gigabytes of CUDA libraries even where there is no GPU.
#
#   PYTHON                  the interpreter to use (3.11 or newer)
#   KINOGRAD_TORCH          another torch requirement, e.g. "torch==2.13.0"
#   KINOGRAD_TORCH_INDEX    where to find CPU wheels, if pip is not configured for them
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
recent() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }

if [ ! -x .venv/bin/pip ]; then
    python=${PYTHON:-}
    for candidate in python3 python3.13 python3.12 python3.11; do
        [ -n "$python" ] || ! recent "$candidate" || python=$candidate
    done
    recent "${python:-none}" || fail "Kinograd needs Python 3.11 or newer; set PYTHON=/path/to/it"
    say "Creating .venv with $("$python" --version)"
    "$python" -m venv .venv ||
        fail "This Python cannot create environments; on Debian: apt-get install python3-venv"
fi
pip() { .venv/bin/python -m pip install --quiet --constraint constraints.txt "$@"; }

version=$(sed -n 's/^torch==//p' constraints.txt)
if [ -n "${KINOGRAD_TORCH:-}" ]; then
    say "Installing $KINOGRAD_TORCH"
    pip "$KINOGRAD_TORCH"
elif nvidia-smi -L >/dev/null 2>&1 || [ "$(uname -s)" != Linux ]; then
    say "Installing torch $version"
    pip "torch==$version"
else
    say "Installing torch $version for the CPU"
    # Wherever pip is configured to look, and in KINOGRAD_TORCH_INDEX where that is set.
    index=${KINOGRAD_TORCH_INDEX:+--extra-index-url $KINOGRAD_TORCH_INDEX}
    # shellcheck disable=SC2086  # two words, or none
    if ! pip $index "torch==$version+cpu" 2>/dev/null; then
        say "pip is offered no CPU-only torch $version, so the default one follows, with gigabytes"
        say "of CUDA libraries. To spare them, stop here and set KINOGRAD_TORCH_INDEX to PyTorch's"
        say "index of CPU wheels, which its 'Get started' page names."
        pip "torch==$version"
    fi
fi

extras=$(IFS=,; echo "dev${*:+,$*}")
say "Installing kinograd[$extras]"
pip --editable ".[$extras]"
