# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the product costs, measured side by side with others: `make bench` writes docs/numbers.md."""
