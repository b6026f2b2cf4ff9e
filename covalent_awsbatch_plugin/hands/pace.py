# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""How fast AWS is asked: below the account's published quotas, so that they are never why a task failed.

A quota is shared with whatever else runs in the account; what that takes shows as throttling, on which botocore's
adaptive mode halves its own rate and grows back (hands/aws.py).
"""

from __future__ import annotations

from aiolimiter import AsyncLimiter

# Calls at once, and the seconds after which as many more may go. Batch's 50/s are shared by all its calls: submitting
# and asking have 40, ending has its own 10, so that a cancel never waits behind ten thousand questions.
# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html (GetLogEvents: 10/s)
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (PutImage, a manifest's PUT: 10/s)
_LANES = {
    "batch": (10, 0.25),
    "batch:TerminateJob": (5, 0.5),
    "logs": (4, 0.5),
    "registry:PutManifest": (2, 0.25),
}


class Pace:
    """One limiter for each lane, of one account or registry; a service that is not named has no limit of ours."""

    def __init__(self) -> None:
        self._lanes = {name: AsyncLimiter(calls, seconds) for name, (calls, seconds) in _LANES.items()}

    async def wait(self, service: str, operation: str) -> None:
        """Returns when the call may go."""
        lane = self._lanes.get(f"{service}:{operation}") or self._lanes.get(service)
        if lane:
            await lane.acquire()
