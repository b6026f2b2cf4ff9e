#!/bin/sh
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# Runs the uv of a virtual environment. Where the environment has no uv, pip first installs the locked one.
#
#   tools/uv.sh FOLDER ARGUMENT ...
set -eu

folder=$1
shift

# locked PACKAGE: the requirement and the hashes that the lock has for it
locked() {
    awk -v start="$1==" '/^[^ ]/ { inside = index($0, start) == 1 } inside && !/#/' locks/development.txt
}

# pip_setting NAME: its value in pip's environment variables, else in pip's files, else nothing
pip_setting() {
    "$folder/bin/python" -m pip config list 2>/dev/null | sed -n "s/^.*\\.$1='\\(.*\\)'\$/\\1/p" | head -n 1
}

# setuptools too: it builds the packages that have no wheel, and without build isolation nothing is fetched for that
if [ ! -x "$folder/bin/uv" ]; then
    echo "venv: installing uv into $folder"
    { locked uv && locked setuptools; } >"$folder/bootstrap.txt"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement "$folder/bootstrap.txt" </dev/null
fi

# uv does not read pip's settings. Two of them decide whether any package can be reached: the index and its certificate.
index=${UV_DEFAULT_INDEX:-$(pip_setting index-url)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
certificate=${SSL_CERT_FILE:-$(pip_setting cert)}
[ -z "$certificate" ] || export SSL_CERT_FILE="$certificate"
# uv trusts its own list of authorities, unless told to trust the machine's; a bare machine may have none
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [ ! -s "$bundle" ] || export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
done

exec "$folder/bin/uv" "$@"
