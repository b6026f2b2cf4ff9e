# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An offline AWS Batch: its API, its jobs, and the instance that runs them."""
