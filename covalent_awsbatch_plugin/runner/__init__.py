# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Code that runs in the container, and the formats that both sides read.

It needs the standard library, cloudpickle and obstore only.
"""
