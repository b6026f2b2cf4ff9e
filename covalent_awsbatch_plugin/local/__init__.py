# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A whole AWS on this machine, beside the tower: nothing imports it but the CLI, tests and examples."""
