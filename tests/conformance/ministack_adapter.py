# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What answers in MiniStack's world: our Batch for Batch, MiniStack for the rest, and the differences from AWS mended.

Each workaround says what AWS does and MiniStack does not; docs/conformance.md has the table. MiniStack decides who may
do what: its evaluator is asked with the resources that AWS documents where MiniStack asks itself about others.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from covalent_awsbatch_plugin.local.iam.required_actions import ApiRequest, Need, denial_text, needs, registry_actions
from covalent_awsbatch_plugin.local.provision import ACCOUNT
from tests.conformance.front import Answer, Upstream
from tests.conformance.ministack_iam import Permissions
from tests.recorded_traffic import WireRequest

LOGIN_TOKEN = "ministack-auth-token"
DENIALS = ("AccessDenied", "UnauthorizedOperation")
UNKNOWN_CALLER = (
    "UnrecognizedClient", "InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidSignature", "IncompleteSignature",
    "ExpiredToken", "InvalidAccessKeyId", "MissingAuthenticationToken",
)  # fmt: skip
VCPUS = 256.0  # the quota of each kind
JSON = [("Content-Type", "application/json")]


@dataclass
class Adapter:
    """The front's answers. `root` is the key of the account's root, which is also AWS Batch's own."""

    ministack: Upstream
    batch: Upstream
    root: Credentials
    region: str
    registry: str = ""  # host:port of the front of the registry
    mended: Counter[str] = field(default_factory=Counter)  # how often each workaround was needed
    _owners: dict[str, str] = field(default_factory=dict)  # access key id -> ARN of its user or role
    _logins: dict[str, str] = field(default_factory=dict)  # password -> access key id
    _deleted: set[tuple[str, str]] = field(default_factory=set)  # repository; digest or tag
    _trusting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def permissions(self) -> Permissions:
        """MiniStack's own opinion of who may do what."""
        return Permissions(self.as_root)

    async def answer(self, request: WireRequest) -> Answer:
        """Answer a request to the API."""
        operation = request.operation
        if operation.startswith("batch:"):
            return await self._of_batch(request)
        if operation == "sts:AssumeRole" and self._is_root(request):
            return await self._assume_as_ecs(request)
        if operation == "servicequotas:GetServiceQuota":  # MiniStack has no Service Quotas
            asked = json.loads(request.body)
            self.mended[operation] += 1
            return 200, JSON, _json({"Quota": asked | {"Value": VCPUS}})
        answer = await self.ministack.send(request)
        if answer[0] in (400, 403) and any(word.encode() in answer[2] for word in DENIALS):
            answer = await self._asked_again(request, answer)
        self._remember_owner(operation, request, answer)
        if operation.startswith("ecr:"):
            answer = self._of_ecr(operation, request, answer)
        return answer

    def _is_root(self, request: WireRequest) -> bool:
        return request.scope is not None and request.scope[0] == self.root.access_key

    # ---- who may do what -------------------------------------------------------------------------------------------
    async def _asked_again(self, request: WireRequest, denial: Answer) -> Answer:
        """Ask MiniStack's evaluator once more, with the resources of AWS's service authorization reference.

        MiniStack asks about `*`, or about a log group instead of its stream, where AWS's resources are narrower.
        """
        owner = self._owners.get(request.scope[0]) if request.scope else None
        wanted = self._needs(request)
        if owner is None or not wanted:
            return denial
        for need in wanted:
            if not await self.permissions.allow(owner, need):
                return denial
        self.mended[f"resource of {request.operation}"] += 1
        return await self.as_root(request)

    def _needs(self, request: WireRequest) -> list[Need]:
        assert request.scope is not None
        _, region, service = request.scope
        if service == "s3":
            return []
        parameters: Any = parse_qs(request.body.decode("utf-8", "replace"))
        if request.body[:1] == b"{":
            parameters = json.loads(request.body)
        operation = request.operation.partition(":")[2]
        if service == "batch" and "/v1/tags/" in request.path:
            return []
        return needs(ApiRequest(service, operation, parameters, region, ACCOUNT))

    async def as_root(self, request: WireRequest) -> Answer:
        """Send a request signed anew, as the account's root."""
        return await self.ministack.send(self._signed(request, self.ministack))

    def _signed(self, request: WireRequest, upstream: Upstream) -> WireRequest:
        assert request.scope is not None
        _, region, service = request.scope
        kept = {name: value for name, value in request.headers.items() if name not in RESIGNED}
        url = f"{upstream.url}{request.target}"
        new = AWSRequest(request.method, url, kept, request.body)
        (S3SigV4Auth if service == "s3" else SigV4Auth)(self.root, service, region).add_auth(new)
        headers = {name.lower(): value for name, value in new.headers.items()}
        return WireRequest(request.method, request.target, headers, request.body)

    def _remember_owner(self, operation: str, request: WireRequest, answer: Answer) -> None:
        """Note whose the keys are that IAM and STS give away."""
        if answer[0] != 200 or operation not in ("iam:CreateAccessKey", "sts:AssumeRole"):
            return
        element = ElementTree.fromstring(answer[2])
        key = element.findtext(".//{*}AccessKeyId") or ""
        user, form = element.findtext(".//{*}UserName"), parse_qs(request.body.decode())
        self._owners[key] = f"arn:aws:iam::{ACCOUNT}:user/{user}" if user else form["RoleArn"][0]

    # ---- Batch -----------------------------------------------------------------------------------------------------
    async def _of_batch(self, request: WireRequest) -> Answer:
        """Have MiniStack check the signature, and its evaluator the permissions; then ask our Batch.

        MiniStack's Batch, whose jobs never run, gets the request too, and its answer is thrown away.
        """
        status, headers, body = await self.ministack.send(request)
        if status in (400, 403) and any(word.encode() in body for word in UNKNOWN_CALLER):
            return status, headers, body
        assert request.scope is not None
        owner = self._owners.get(request.scope[0])
        if owner is not None:
            for need in self._needs(request):
                if not await self.permissions.allow(owner, need):
                    message = denial_text(owner, need.action, need.resource)
                    return 403, [*JSON, ("x-amzn-errortype", "AccessDeniedException")], _json({"message": message})
        return await self.batch.send(self._signed(request, self.batch))

    # ---- STS -------------------------------------------------------------------------------------------------------
    async def _assume_as_ecs(self, request: WireRequest) -> Answer:
        """Assume a role as ECS does for its tasks.

        MiniStack knows no service principal that could sign, so the role trusts the account's root for the moment.
        """
        role = parse_qs(request.body.decode())["RoleArn"][0]
        name = role.rpartition("/")[2]
        async with self._trusting:
            trust = await self.permissions.trust(name)
            root = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
            await self.permissions.set_trust(name, json.dumps({"Version": "2012-10-17", "Statement": [root]}))
            try:
                answer = await self.ministack.send(request)
            finally:
                await self.permissions.set_trust(name, trust)
        self.mended["service principal of sts:AssumeRole"] += 1
        self._remember_owner("sts:AssumeRole", request, answer)
        return answer

    # ---- ECR and its registry --------------------------------------------------------------------------------------
    def _of_ecr(self, operation: str, request: WireRequest, answer: Answer) -> Answer:
        """Name the registry's front in place of the account's host at AWS, and give each caller a login of its own."""
        status, headers, body = answer
        host = f"{ACCOUNT}.dkr.ecr.{self.region}.amazonaws.com"
        body = body.replace(f"https://{host}".encode(), f"http://{self.registry}".encode())
        body = body.replace(host.encode(), self.registry.encode())
        if operation == "ecr:GetAuthorizationToken" and status == 200 and request.scope:
            password = token_urlsafe(32)
            self._logins[password] = request.scope[0]
            token = b64encode(f"AWS:{LOGIN_TOKEN}".encode())
            body = body.replace(token, b64encode(f"AWS:{password}".encode()))
        if operation == "ecr:BatchDeleteImage" and status == 200:
            repository = json.loads(request.body)["repositoryName"]
            for image in json.loads(body)["imageIds"]:
                self._deleted |= {(repository, reference) for reference in image.values()}
        return status, headers, body

    async def answer_registry(self, request: WireRequest) -> Answer:
        """Answer a request to the registry, whose logins and permissions MiniStack does not check."""
        caller = self._logins.get(_password(request))
        if caller is None:
            challenge = f'Basic realm="http://{self.registry}/",service="ecr.amazonaws.com"'
            return 401, [*JSON, ("WWW-Authenticate", challenge)], _problem("UNAUTHORIZED", "Not Authorized")
        owner = self._owners.get(caller)
        for need in self._registry_needs(request) if owner else ():
            if not await self.permissions.allow(str(owner), need):
                return 403, JSON, _problem("DENIED", denial_text(str(owner), need.action, need.resource))
        if self._is_deleted(request):
            self.mended["manifest of a deleted image"] += 1
            return 404, JSON, _problem("MANIFEST_UNKNOWN", "The image does not exist")
        status, headers, body = await self.ministack.send(request)
        return (
            status,
            [(name, _relative(value) if name.lower() == "location" else value) for name, value in headers],
            body,
        )

    def _is_deleted(self, request: WireRequest) -> bool:
        """Return whether a request reads the manifest of a deleted image, which MiniStack's registry still has."""
        repository, found, reference = request.path.removeprefix("/v2/").partition("/manifests/")
        if found and request.method == "PUT":
            digest = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
            self._deleted -= {(repository, reference), (repository, digest)}
        return (repository, reference) in self._deleted

    def _registry_needs(self, request: WireRequest) -> Iterator[Need]:
        name = request.path.removeprefix("/v2/").partition("/blobs/")[0].partition("/manifests/")[0]
        name = name.removesuffix("/tags/list")
        arn = f"arn:aws:ecr:{self.region}:{ACCOUNT}:repository/{name}"
        return (Need(action, arn) for action in registry_actions(request.method, request.path))


# Headers that a new signature writes
RESIGNED = {"authorization", "x-amz-date", "x-amz-security-token", "host", "content-length", "x-amz-content-sha256"}


def _relative(location: str) -> str:
    """Return the path and query of a URL."""
    return "/" + location.partition("://")[2].partition("/")[2] if "://" in location else location


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _problem(code: str, message: str) -> bytes:
    return _json({"errors": [{"code": code, "message": message}]})


def _password(request: WireRequest) -> str:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    user, _, password = (
        b64decode(encoded).decode("utf-8", "replace").partition(":") if scheme == "Basic" else ("", "", "")
    )
    return password if user == "AWS" else ""
