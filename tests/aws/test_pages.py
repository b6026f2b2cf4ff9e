# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lists of AWS are read to their last page, whatever the service calls the token of the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.errors import Unreachable
from covalent_awsbatch_plugin.infra.doctor_queries import Checkup
from covalent_awsbatch_plugin.jobs.api import Batch


class PagedAWS(AWS):
    """An AWS that gives the pages of one list, and keeps the parameters of each call."""

    def __init__(self, *pages: Mapping[str, Any]) -> None:
        super().__init__(Connection())
        self._pages, self.asked = list(pages), list[dict[str, Any]]()

    async def call(self, service: str, operation: str, *, of: str, once: bool = False, **parameters: Any) -> Any:
        self.asked.append(parameters)
        return self._pages.pop(0)


async def items(aws: AWS) -> list[Any]:
    return [item async for item in aws.items("any", "ListThings", "things", of="the things", fixed=1)]


@pytest.mark.parametrize(
    ("leads", "parameter", "more"),
    [
        ("nextToken", "nextToken", {}),
        ("NextToken", "NextToken", {}),
        ("NextContinuationToken", "ContinuationToken", {"IsTruncated": True}),
        ("Marker", "Marker", {"IsTruncated": True}),
    ],
)
async def test_pages_are_read_to_the_last(leads: str, parameter: str, more: dict[str, Any]) -> None:
    aws = PagedAWS(
        {"things": [1, 2], leads: "a"} | more, {leads: "b"} | more, {"things": [3], leads: "", "IsTruncated": False}
    )
    assert await items(aws) == [1, 2, 3]
    assert aws.asked == [{"fixed": 1}, {"fixed": 1, parameter: "a"}, {"fixed": 1, parameter: "b"}]


async def test_a_truncated_page_without_a_token_is_an_error() -> None:
    with pytest.raises(Unreachable, match="any:ListThings"):
        await items(PagedAWS({"things": [1], "IsTruncated": True}))


async def test_a_page_that_leads_to_itself_is_an_error() -> None:
    with pytest.raises(Unreachable, match="any:ListThings"):
        await items(PagedAWS({"things": [1], "nextToken": "a"}, {"things": [1], "nextToken": "a"}))


async def test_a_denied_action_on_the_second_page_is_found() -> None:
    def page(action: str, decision: str) -> dict[str, Any]:
        return {"EvaluationResults": [{"EvalActionName": action, "EvalDecision": decision}]}

    aws = PagedAWS(
        page("s3:GetObject", "allowed") | {"IsTruncated": True, "Marker": "m"}, page("s3:PutObject", "implicitDeny")
    )
    assert await Checkup(aws).denied("arn:aws:iam::123456789012:user/u", ["s3:GetObject", "s3:PutObject"], ["*"]) == [
        "s3:PutObject"
    ]


async def test_a_job_on_the_second_page_is_found_by_its_name() -> None:
    aws = PagedAWS(
        {"jobSummaryList": [{"jobId": "old", "createdAt": 0}], "nextToken": "t"},
        {"jobSummaryList": [{"jobId": "new", "createdAt": 10**12}]},
    )
    assert await Batch(aws).named({"jobQueue": "q", "jobName": "n"}, since_s=10**9) == "new"
