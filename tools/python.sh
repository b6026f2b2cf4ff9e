#!/bin/sh
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of a Python that can run this project: 3.11 or newer, able to make a virtual environment.
#
#   tools/python.sh         the first of 3.11, 3.12, 3.13 and whatever `python3` is
#   tools/python.sh 3.12    that minor version, or nothing and exit 1
set -u

# A name on PATH is no proof: pyenv puts one there for every version it knows and refuses to run it. So it is run.
path_of() {
    "$1" -c "import ensurepip, sys, venv; sys.version_info >= (3, 11) or sys.exit(1)
$2
print(sys.executable)" </dev/null 2>/dev/null
}

candidates() {
    echo "python$1"
    for root in "${PYENV_ROOT:-}" ~/.pyenv; do
        [ -d "$root/versions" ] && ls -d "$root/versions/$1".*/bin/python 2>/dev/null
    done
}

for minor in ${1:-3.11 3.12 3.13}; do
    same="f'{sys.version_info.major}.{sys.version_info.minor}' == '$minor' or sys.exit(1)"
    for name in $(candidates "$minor"); do
        path_of "$name" "$same" && exit 0
    done
done
[ $# = 0 ] || exit 1
path_of python3 "" && exit 0

seen=$(python3 --version 2>/dev/null || echo "no python3")
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "$seen can't make virtual environments here: apt-get install python3-venv" >&2
else
    echo "This project needs Python 3.11 or newer, and here is $seen: install one, or name it with PYTHON=/path/to/python." >&2
fi
exit 1
