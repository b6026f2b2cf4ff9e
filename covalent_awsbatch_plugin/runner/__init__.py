# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What travels into the container, and what lies where. Needs the standard library, cloudpickle and obstore only."""
