# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A job: how it is told to AWS Batch, how Batch tells of it, and what its end means."""
