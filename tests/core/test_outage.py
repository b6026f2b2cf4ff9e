# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The patience of a client of a service: how long a request is repeated, and what the user is told."""

from __future__ import annotations

import socket
import ssl

import pytest

from covalent_awsbatch_plugin.core.outage import REFUSED_SECONDS, Patience, is_misdirected, is_refused
from covalent_awsbatch_plugin.errors import Unreachable

ERROR = Unreachable("AWS did not answer batch:DescribeJobs for the jobs.", says="Connection refused.")


class Clock:
    """Time that only passes in sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def patience(seconds: float, clock: Clock) -> Patience:
    return Patience(seconds, sleep=clock.sleep, clock=clock, jitter=lambda _, most: most)


async def lasting(patience: Patience) -> int:
    """The tries of one request that is never answered."""
    outage, tries = patience.outage(), 1
    while await outage.lasts(ERROR):
        tries += 1
    return tries


@pytest.mark.parametrize("seconds", [0, 1, 100, 900])
async def test_a_request_is_repeated_for_its_patience(seconds: float) -> None:
    clock = Clock()
    tries = await lasting(patience(seconds, clock))
    assert clock.now <= seconds < clock.now + 8
    assert (tries > 1) == (seconds > 0)


async def test_each_request_has_its_own_patience() -> None:
    clock = Clock()
    one = patience(100, clock)
    await lasting(one)
    began = clock.now
    await lasting(one)
    assert clock.now - began > 90


async def test_of_an_outage_the_user_is_told_once_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    one = patience(900, clock)
    outages = [one.outage() for _ in range(150)]
    while clock.now < 59 - 8:
        assert await outages[0].lasts(ERROR)
    assert not caplog.records
    for _ in range(10):
        for outage in outages:
            await outage.lasts(ERROR)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == (
        "No answer for a minute; requests are repeated for up to 900 s (outage_patience). "
        "AWS did not answer batch:DescribeJobs for the jobs. Connection refused."
    )


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (ssl.SSLCertVerificationError("self-signed certificate"), True),
        (ConnectionRefusedError("refused"), False),
    ],
)
def test_a_wrong_host_name_or_certificate_is_no_outage(cause: Exception, expected: bool) -> None:
    error = OSError("cannot connect")
    error.__cause__ = cause
    assert is_misdirected(error) is expected


def test_a_port_where_nobody_listens_is_told_from_other_causes() -> None:
    refused, lost = OSError("cannot connect"), OSError("cannot connect")
    refused.__cause__, lost.__cause__ = ConnectionRefusedError("refused"), ConnectionResetError("reset")
    assert is_refused(refused) and not is_refused(lost)


async def test_a_service_that_never_answered_and_refuses_is_given_up_sooner() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    outage = Patience(900, sleep=sleep, clock=lambda: now, jitter=lambda _low, high: high).outage()
    error = Unreachable("AWS did not answer.")
    error.worth_seconds = REFUSED_SECONDS
    while await outage.lasts(error):
        pass
    assert REFUSED_SECONDS / 2 < now <= REFUSED_SECONDS
