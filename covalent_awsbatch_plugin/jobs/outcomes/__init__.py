# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Classify the end of a job: its cause, the side that must change, and the error that the user reads."""
