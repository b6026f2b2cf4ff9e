# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS for the tests of tasks and of pools, which a whole run shares."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from covalent_awsbatch_plugin.local import LocalAWS


@pytest.fixture(scope="session")
def offline_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", slots=4, grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))
