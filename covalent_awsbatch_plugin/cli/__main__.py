# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run the command line as `python -m covalent_awsbatch_plugin.cli`, if the command is not on the PATH."""

from . import main

main(prog_name="covalent-awsbatch")
