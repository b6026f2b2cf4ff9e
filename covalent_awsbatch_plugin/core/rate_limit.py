# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""How fast AWS is asked: below the account's published quotas, so that they are never why a task failed.

A quota is shared with whatever else runs in the account. What that takes shows as throttling: then a lane gives way to
half of what it took, and grows back while calls go through.
"""

from __future__ import annotations

import asyncio
import math

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
GROWTH = 0.01  # of a lane's full rate, for each call that goes: back from a half after fifty
REACTION_SECONDS = 1  # calls that left together are refused together, and that is one refusal


class Lane:
    """At most `calls` at once and as many more every `seconds`, as long as AWS takes them."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._limiter = AsyncLimiter(calls, seconds)
        self._least = 1 / calls
        self._throttled_at = -math.inf
        self.share = 1.0  # of the full rate, that is taken now

    async def wait(self) -> None:
        """Returns when a call may go. Of a smaller share each call takes more of the bucket."""
        await self._limiter.acquire(1 / self.share)
        self.share = min(1.0, self.share + GROWTH)

    def throttled(self) -> None:
        """AWS refused a call, for there were too many."""
        now = asyncio.get_running_loop().time()
        if now - self._throttled_at >= REACTION_SECONDS:
            self._throttled_at = now
            self.share = max(self._least, self.share / 2)


class Pace:
    """One lane for each quota, of one account or registry; a service that is not named has no limit of ours."""

    def __init__(self) -> None:
        self._lanes = {name: Lane(calls, seconds) for name, (calls, seconds) in _LANES.items()}

    def lane(self, service: str, operation: str) -> Lane | None:
        """The call's."""
        return self._lanes.get(f"{service}:{operation}") or self._lanes.get(service)

    async def wait(self, service: str, operation: str) -> None:
        """Returns when the call may go."""
        if lane := self.lane(service, operation):
            await lane.wait()

    def throttled(self, service: str, operation: str) -> None:
        """AWS refused the call, for there were too many."""
        if lane := self.lane(service, operation):
            lane.throttled()
