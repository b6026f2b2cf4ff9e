# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The world that this package has itself: the offline AWS, behind a front that records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from covalent_awsbatch_plugin.local import LocalAWS
from tests.conformance.front import Answer, Front, Upstream, client_session, site
from tests.conformance.world import World, through
from tests.recorded_traffic import Record, WireRequest

NAME = "ours"


@asynccontextmanager
async def ours(record: Record) -> AsyncIterator[World]:
    """Yield an offline AWS whose IAM is enforced, at the address of its front."""
    loop = asyncio.get_running_loop()
    registry: asyncio.Future[Upstream] = loop.create_future()

    async def of_registry(request: WireRequest) -> Answer:
        return await (await registry).send(request)

    async with client_session() as session, site(Front(NAME, record, of_registry).app()) as registry_name:
        options = {"engine": "process", "slots": 4, "grace_s": 1, "registry_name": registry_name}
        async with LocalAWS(**options, enforce_iam=True) as aws:
            registry.set_result(Upstream(session, f"http://{aws.registry}"))
            async with site(Front(NAME, record, Upstream(session, aws.endpoint_url).send).app()) as address:
                yield through(NAME, f"http://{address}", aws)
