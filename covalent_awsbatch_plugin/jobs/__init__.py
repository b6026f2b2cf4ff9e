# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch jobs: their definitions and requests, their descriptions, and the meaning of their end."""
