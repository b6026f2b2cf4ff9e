# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch: its API, its jobs, and the machine that they land on."""
