# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Why a job ended: from the words of AWS Batch to a cause, and from a cause to an error."""
