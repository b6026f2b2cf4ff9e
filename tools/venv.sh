#!/bin/sh
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# A virtual environment that holds this project, editable, and what its tests and tools need.
#
#   tools/venv.sh FOLDER [PYTHON]            in the versions of locks/development.txt
#   tools/venv.sh --latest FOLDER [PYTHON]   in the newest versions that setup.py allows, resolved at each call
#
# Without --latest it does nothing when the folder was made of this very lock; made anew when its Python is gone.
set -eu

latest=
if [ "$1" = --latest ]; then latest=yes; shift; fi
folder=$1 python=${2:-} lock=locks/development.txt
stamp=$folder/made-of

made_of() { cat "$0" "$lock" requirements*.txt setup.py "$folder/pyvenv.cfg" | cksum; }

if ! "$folder/bin/python" -c '' 2>/dev/null; then
    [ -n "$python" ] || python=$(tools/python.sh) || exit 1
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
        echo "This project needs Python 3.11 or newer, and $python is $("$python" --version 2>&1)." >&2
        exit 1
    }
    echo "venv: $folder, $("$python" --version)"
    rm -rf "$folder"
    "$python" -m venv "$folder"
fi

uv() { tools/uv.sh "$folder" "$@" --python "$folder/bin/python"; }

if [ -n "$latest" ]; then
    echo "venv: resolving the newest versions for $folder"
    lock=$folder/latest.txt
    uv pip compile --quiet --upgrade --extra dev setup.py --output-file "$lock" >/dev/null
elif [ "$(cat "$stamp" 2>/dev/null)" = "$(made_of)" ]; then
    exit 0
fi

echo "venv: installing the project and what its tests and tools need into $folder"
# Byte code is compiled once, here: uv leaves it to the first import, and under PYTHONDONTWRITEBYTECODE, which images of
# containers like to set, each process would compile all that it imports, an offline AWS for 1.5 s.
uv pip sync --no-build-isolation --compile-bytecode "$lock"
uv pip install --quiet --no-deps --no-build-isolation --editable .
made_of >"$stamp"
