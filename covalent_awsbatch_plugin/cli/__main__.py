# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`python -m covalent_awsbatch_plugin.cli`, where the command itself is not on the path."""

from . import main

main(prog_name="covalent-awsbatch")
