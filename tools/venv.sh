#!/bin/sh
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# A virtual environment that holds this project, editable, with an extra's requirements.
#
#   tools/venv.sh FOLDER EXTRA [PYTHON]
#
# Does nothing when the folder was made of these very requirements; made anew when its Python is gone.
set -eu

folder=$1 extra=$2 python=${3:-}
stamp=$folder/made-of-$extra
[ "$extra" = dev ] || [ ! -e "$folder/made-of-dev" ] || extra=dev stamp=$folder/made-of-dev  # dev holds them all

made_of() { cat requirements.txt setup.py "$folder/pyvenv.cfg" | cksum; }

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
[ "$(cat "$stamp" 2>/dev/null)" != "$(made_of)" ] || exit 0

echo "venv: installing the project and its [$extra] requirements into $folder; about a minute the first time"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extra]" </dev/null
made_of >"$stamp"
