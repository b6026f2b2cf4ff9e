# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Images: what is in a registry or an engine, and the two builders that put layers on top."""
