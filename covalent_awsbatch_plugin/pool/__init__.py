# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Plain Python on AWS Batch: `BatchPool`, an executor of `concurrent.futures` whose calls run as AWS Batch jobs."""
