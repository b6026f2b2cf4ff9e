# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An offline AWS in which policies count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.infra.people import People


@pytest.fixture(scope="session")
def guarded_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", slots=4, grace_s=1, enforce_iam=True)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
def people(guarded_aws: LocalAWS, tmp_path: Path) -> People:
    return People(guarded_aws, tmp_path)
