# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run Python functions on AWS Batch from a Covalent workflow."""

__version__ = "1.0.0"
