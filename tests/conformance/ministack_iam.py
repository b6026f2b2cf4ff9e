# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""MiniStack's IAM, asked over HTTP: whether a user or a role may do something, and whom a role trusts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree

from moto.iam.access_control import PermissionResult

from covalent_awsbatch_plugin.local.iam.enforcement import of_statement
from covalent_awsbatch_plugin.local.iam.required_actions import Need
from tests.conformance.front import Answer
from tests.recorded_traffic import WireRequest

Send = Callable[[WireRequest], Awaitable[Answer]]
SCOPE = "AWS4-HMAC-SHA256 Credential=root/20260101/us-east-1/iam/aws4_request"


class Permissions:
    """The permissions of users and roles. `send` signs a request as the account's root."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def allow(self, arn: str, need: Need) -> bool:
        """Return whether the policies of a user or role allow an action."""
        if need.context:
            return await self._allow_with(arn, need)
        parameters = {
            "PolicySourceArn": arn,
            "ActionNames.member.1": need.action,
            "ResourceArns.member.1": need.resource,
        }
        response = await self._query("SimulatePrincipalPolicy", parameters)
        return response.findtext(".//{*}EvalDecision") == "allowed"

    async def _allow_with(self, arn: str, need: Need) -> bool:
        """Evaluate conditions here: MiniStack's SimulatePrincipalPolicy ignores `ContextEntries`."""
        results = {
            of_statement(statement, need.action, need.resource, dict(need.context))
            for statement in await self._statements(arn)
        }
        return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results

    async def _statements(self, arn: str) -> list[dict[str, Any]]:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        owner = {f"{kind.title()}Name": name}
        documents = []
        for each in (await self._query(f"List{kind.title()}Policies", owner)).iterfind(".//{*}member"):
            got = await self._query(f"Get{kind.title()}Policy", owner | {"PolicyName": each.text or ""})
            documents.append(got.findtext(".//{*}PolicyDocument") or "{}")
        for policy in (await self._query(f"ListAttached{kind.title()}Policies", owner)).iterfind(".//{*}PolicyArn"):
            attached = {"PolicyArn": policy.text or ""}
            version = (await self._query("GetPolicy", attached)).findtext(".//{*}DefaultVersionId") or "v1"
            got = await self._query("GetPolicyVersion", attached | {"VersionId": version})
            documents.append(got.findtext(".//{*}Document") or "{}")
        return [each for document in documents for each in _listed(json.loads(unquote(document))["Statement"])]

    async def trust(self, role: str) -> str:
        """Return the trust policy of a role, as JSON."""
        response = await self._query("GetRole", {"RoleName": role})
        return unquote(response.findtext(".//{*}AssumeRolePolicyDocument") or "{}")

    async def set_trust(self, role: str, policy: str) -> None:
        await self._query("UpdateAssumeRolePolicy", {"RoleName": role, "PolicyDocument": policy})

    async def _query(self, action: str, parameters: dict[str, str]) -> ElementTree.Element:
        body = urlencode({"Action": action, "Version": "2010-05-08", **parameters}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "authorization": SCOPE}
        status, _, text = await self._send(WireRequest("POST", "/", headers, body))
        assert status == 200, text
        return ElementTree.fromstring(text)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
