# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The AWS resources of a stack, the policies for them, and the checks of `doctor`."""
