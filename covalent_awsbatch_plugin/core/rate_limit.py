# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Limits on the rate of requests, below the account's published quotas, so that no task fails because of them.

Other users of the account share a quota. Their use shows as throttling: then a lane halves its rate, and raises it
again while calls succeed.
"""

from __future__ import annotations

import asyncio
import math

from aiolimiter import AsyncLimiter

# Calls at once, and the seconds after which as many more may start. Batch's 50/s are shared by all its operations: 40
# are for submitting and describing, and 10 for TerminateJob, so that a cancel never waits behind thousands of requests.
# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html (GetLogEvents: 10/s)
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html (PutImage, a manifest's PUT: 10/s)
_LANES = {
    "batch": (10, 0.25),
    "batch:TerminateJob": (5, 0.5),
    "logs": (4, 0.5),
    "registry:PutManifest": (2, 0.25),
}
GROWTH = 0.01  # share of a lane's full rate that each call restores: fifty calls double a halved rate
REACTION_SECONDS = 1  # throttling of calls that were sent together counts once


class Lane:
    """A rate limit: `calls` at once and as many more every `seconds`, less while AWS throttles."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._limiter = AsyncLimiter(calls, seconds)
        self._least = 1 / calls
        self._throttled_at = -math.inf
        self.share = 1.0  # the current part of the full rate

    async def wait(self) -> None:
        """Wait until a call may start. With a smaller share each call uses more of the rate."""
        await self._limiter.acquire(1 / self.share)
        self.share = min(1.0, self.share + GROWTH)

    def throttled(self) -> None:
        """Halve the rate, because AWS throttled a call."""
        now = asyncio.get_running_loop().time()
        if now - self._throttled_at >= REACTION_SECONDS:
            self._throttled_at = now
            self.share = max(self._least, self.share / 2)


class Pace:
    """The rate limits of one account or registry; a service without a lane is not limited."""

    def __init__(self) -> None:
        self._lanes = {name: Lane(calls, seconds) for name, (calls, seconds) in _LANES.items()}

    def lane(self, service: str, operation: str) -> Lane | None:
        """Return the lane of an operation."""
        return self._lanes.get(f"{service}:{operation}") or self._lanes.get(service)

    async def wait(self, service: str, operation: str) -> None:
        """Wait until the call may start."""
        if lane := self.lane(service, operation):
            await lane.wait()

    def throttled(self, service: str, operation: str) -> None:
        """Halve the rate of the operation's lane, because AWS throttled a call."""
        if lane := self.lane(service, operation):
            lane.throttled()
