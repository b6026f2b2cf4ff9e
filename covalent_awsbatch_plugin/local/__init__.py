# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline AWS: S3, ECR with a registry, Batch with jobs that really run, IAM, STS and CloudWatch Logs on 127.0.0.1.

`LocalAWS` is for tests and programs; `up`, `down` and `status` keep one running in the background.
"""

from .background import (
    Status,
    down,
    forget_earlier_section,
    home,
    read_earlier_section,
    status,
    up,
    write_earlier_section,
)
from .local_aws import LocalAWS

__all__ = [
    "LocalAWS",
    "Status",
    "down",
    "forget_earlier_section",
    "home",
    "read_earlier_section",
    "status",
    "up",
    "write_earlier_section",
]
