# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The requests that AWS Batch and ECS themselves make to IAM, STS, ECR, CloudWatch Logs and EC2, over HTTP.

They need no service models, which take long to load. Signatures are botocore's.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .engines.base import Login

# `apiVersion` (query protocol) and `targetPrefix` (JSON protocol) of botocore's service models
VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15", "ec2": "2016-11-15"}
TARGETS = {"ecr": "AmazonEC2ContainerRegistry_V20150921", "logs": "Logs_20140328"}
RENEWED_S = 600  # before they expire
SESSION_S = 3600
SESSION_NAME = "ecs"


class ServiceError(Exception):
    """A service's refusal. `code` is that of its error, without a namespace."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


@dataclass(frozen=True)
class Endpoints:
    """The URL of each service: `default`, unless `of_service` names another one."""

    default: str
    of_service: Mapping[str, str] = field(default_factory=dict)

    def of(self, service: str) -> str:
        """Return the URL of a service, by its name in signatures."""
        return self.of_service.get(service, self.default).rstrip("/")


@dataclass(frozen=True)
class Session:
    """Temporary credentials of a role. `expiration` is AWS's text."""

    key: Credentials
    expiration: str

    @property
    def is_fresh(self) -> bool:
        """True while the credentials are valid for longer than RENEWED_S."""
        return datetime.fromisoformat(self.expiration.replace("Z", "+00:00")).timestamp() - time.time() > RENEWED_S


class ServiceClient:
    """A client that signs with the AWS service's own `key`, or with the credentials of a role that it assumes."""

    def __init__(self, endpoints: Endpoints, region: str, key: Credentials) -> None:
        self._endpoints, self._region, self._key = endpoints, region, key
        self._session: aiohttp.ClientSession | None = None
        self._roles: dict[str, Session] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # ---- IAM and STS -----------------------------------------------------------------------------------------------
    async def role(self, arn: str) -> dict[str, Any] | None:
        """Return the trust policy of a role, None where no role has this ARN."""
        try:
            response = await self._query("iam", "GetRole", {"RoleName": arn.rpartition("/")[2]})
        except ServiceError as error:
            if error.code != "NoSuchEntity":
                raise
            return None
        if response.findtext(".//{*}Arn") != arn:  # another path
            return None
        trust: dict[str, Any] = json.loads(unquote(response.findtext(".//{*}AssumeRolePolicyDocument") or "{}"))
        return trust

    async def instance_profiles(self) -> list[tuple[str, str]]:
        """Return the name and ARN of each instance profile, at most 1,000."""
        response = await self._query("iam", "ListInstanceProfiles", {"MaxItems": "1000"})
        profiles = response.iterfind(".//{*}InstanceProfiles/{*}member")
        return [(p.findtext("{*}InstanceProfileName") or "", p.findtext("{*}Arn") or "") for p in profiles]

    async def denied(self, role: str, actions: Sequence[str], resource: str) -> list[str]:
        """Return the actions that a role's policies do not allow on a resource."""
        parameters = {"PolicySourceArn": role, "ResourceArns.member.1": resource}
        parameters |= {f"ActionNames.member.{number}": action for number, action in enumerate(actions, 1)}
        response = await self._query("iam", "SimulatePrincipalPolicy", parameters)
        allowed = {
            each.findtext("{*}EvalActionName")
            for each in response.iterfind(".//{*}EvaluationResults/{*}member")
            if each.findtext("{*}EvalDecision") == "allowed"
        }
        return [action for action in actions if action not in allowed]

    async def assume(self, role: str, session: str, duration_s: int) -> Session:
        """Return new credentials of a role."""
        parameters = {"RoleArn": role, "RoleSessionName": session, "DurationSeconds": str(duration_s)}
        response = await self._query("sts", "AssumeRole", parameters)
        text = {name: response.findtext(f".//{{*}}Credentials/{{*}}{name}") or "" for name in _CREDENTIALS}
        key = Credentials(text["AccessKeyId"], text["SecretAccessKey"], text["SessionToken"])
        return Session(key, text["Expiration"])

    async def _credentials(self, role: str | None) -> Credentials:
        """Return credentials of a role, or the service's own for None."""
        if role is None:
            return self._key
        session = self._roles.get(role)
        if session is None or not session.is_fresh:
            session = self._roles[role] = await self.assume(role, SESSION_NAME, SESSION_S)
        return session.key

    # ---- ECR and Logs, as an execution role ------------------------------------------------------------------------
    async def registry_login(self, role: str | None) -> Login:
        """Return a login for the account's registry."""
        response = await self._json("ecr", "GetAuthorizationToken", {}, role)
        data = response["authorizationData"][0]
        password = b64decode(data["authorizationToken"]).decode().partition(":")[2]
        return Login(str(data["proxyEndpoint"]).partition("://")[2], password)

    async def create_log_group(self, group: str, role: str | None) -> None:
        """Create a log group unless it exists."""
        try:
            await self._json("logs", "CreateLogGroup", {"logGroupName": group}, role)
        except ServiceError as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def create_log_stream(self, group: str, stream: str, role: str | None) -> None:
        """Create a log stream. Raises ServiceError."""
        await self._json("logs", "CreateLogStream", {"logGroupName": group, "logStreamName": stream}, role)

    async def put_log_events(self, group: str, stream: str, events: list[dict[str, Any]], role: str | None) -> None:
        """Write events to a log stream. Raises ServiceError."""
        parameters = {"logGroupName": group, "logStreamName": stream, "logEvents": events}
        await self._json("logs", "PutLogEvents", parameters, role)

    # ---- EC2 -------------------------------------------------------------------------------------------------------
    async def has_subnet(self, subnet: str) -> bool:
        """Return whether a subnet exists."""
        return await self._is_found("DescribeSubnets", {"SubnetId.1": subnet})

    async def has_security_group(self, group: str) -> bool:
        """Return whether a security group exists."""
        return await self._is_found("DescribeSecurityGroups", {"GroupId.1": group})

    async def _is_found(self, action: str, parameters: Mapping[str, str]) -> bool:
        try:
            response = await self._query("ec2", action, parameters)
        except ServiceError as error:
            if "NotFound" in error.code or "Malformed" in error.code:
                return False
            raise
        return response.find(".//{*}item") is not None

    # ---- the two protocols -----------------------------------------------------------------------------------------
    async def _query(self, service: str, action: str, parameters: Mapping[str, str]) -> ElementTree.Element:
        body = urlencode({"Action": action, "Version": VERSIONS[service], **parameters}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        status, text = await self._send(service, headers, body, self._key)
        element = ElementTree.fromstring(text)  # noqa: S314 - of the emulator on this machine
        if status != 200:
            raise ServiceError(element.findtext(".//{*}Code") or str(status), element.findtext(".//{*}Message") or "")
        return element

    async def _json(
        self, service: str, operation: str, parameters: Mapping[str, Any], role: str | None
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{TARGETS[service]}.{operation}"}
        key = await self._credentials(role)
        status, text = await self._send(service, headers, json.dumps(parameters).encode(), key)
        response: dict[str, Any] = json.loads(text or b"{}")
        if status != 200:
            code = str(response.get("__type", status)).rpartition("#")[2]
            raise ServiceError(code, str(response.get("message") or response.get("Message") or ""))
        return response

    async def _send(self, service: str, headers: Mapping[str, str], body: bytes, key: Credentials) -> tuple[int, bytes]:
        request = AWSRequest("POST", f"{self._endpoints.of(service)}/", dict(headers), body)
        SigV4Auth(key, service, self._region).add_auth(request)
        if self._session is None:  # servers close kept connections when they like: each request has its own
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        async with self._session.post(request.url, data=body, headers=dict(request.headers.items())) as response:
            return response.status, await response.read()


_CREDENTIALS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
