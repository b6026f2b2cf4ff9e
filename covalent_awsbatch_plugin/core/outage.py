# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Outages: how long, and with which pauses, a request is repeated to which a service gives no answer.

Each request has its own patience, whatever happens to the others. botocore's retries share a quota of 500 tokens a
client, which 220 failed tries use up: so they only bridge seconds, and an outage is counted here.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable

from ..errors import ServiceError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 900.0  # default of the setting `outage_patience`
TOLD_AFTER_SECONDS = 60.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 8.0
REFUSED_SECONDS = 20.0  # the patience with a service that refuses connections and has never answered


class Patience:
    """The patience of one client of a service. `sleep`, `clock` and `jitter` are arguments for tests."""

    def __init__(
        self,
        seconds: float = PATIENCE_SECONDS,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.seconds, self.sleep, self.clock, self.jitter = seconds, sleep, clock, jitter
        self._told_at = float("-inf")

    def outage(self) -> Outage:
        """Return the outage of one request that was not answered just now."""
        return Outage(self)

    def tell(self, error: ServiceError) -> None:
        """Log a warning, once for all requests of an outage."""
        now = self.clock()
        if now - self._told_at >= max(self.seconds, TOLD_AFTER_SECONDS):
            self._told_at = now
            log.warning(
                "No answer for a minute; requests are repeated for up to %g s (outage_patience). %s %s",
                self.seconds,
                error.happened,
                error.says,
            )


class Outage:
    """The outage as one request sees it."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._began = patience, patience.clock()
        self._pauses, self._paused = 0, 0.0
        self._told = False

    async def lasts(self, error: ServiceError) -> bool:
        """Wait, with full jitter, before the next try; return False, without a wait, once the patience is over."""
        patience = self._patience
        waited = max(patience.clock() - self._began, self._paused)
        pause = patience.jitter(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._pauses, 16)))
        if waited + pause > min(patience.seconds, error.worth_seconds):
            return False
        if waited >= TOLD_AFTER_SECONDS and not self._told:
            self._told = True
            patience.tell(error)
        self._pauses, self._paused = self._pauses + 1, self._paused + pause
        await patience.sleep(pause)
        return True


def is_refused(error: BaseException | None) -> bool:
    """Return whether the cause of an error is a port where nobody listens.

    Before a service's first answer that may be a wrong setting, or a service that is just starting.
    """
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__ or error.__context__
    return error is not None


def is_misdirected(error: BaseException | None) -> bool:
    """Return whether the cause of an error is a host name that does not exist or a certificate that is not trusted.

    Before a service's first answer that is a wrong setting more likely than an outage.
    """
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            return True
        error = error.__cause__ or error.__context__
    return False
