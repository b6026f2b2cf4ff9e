# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The trial of a whole account: small jobs that end in every way, and AWS's records beside the expected ones."""
