# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The life of a task: `client.py` leads it from packing to its result; every other file is one step of the way."""
