# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The sizes of tasks on AWS Fargate, for the checks before a submission and for the offline AWS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# vCPU: GiB of memory. https://docs.aws.amazon.com/batch/latest/userguide/fargate.html
FARGATE_GIB: Mapping[float, Sequence[float]] = {
    0.25: (0.5, 1, 2),
    0.5: range(1, 5),
    1: range(2, 9),
    2: range(4, 17),
    4: range(8, 31),
    8: range(16, 61, 4),
    16: range(32, 121, 8),
}
