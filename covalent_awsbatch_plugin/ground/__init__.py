# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What travels into the container, and the one file that says what lies where. Standard library, cloudpickle, obstore."""
