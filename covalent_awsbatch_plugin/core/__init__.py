# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Helpers without a domain of their own: single flight, rate limit, subprocesses, files, user folders."""
