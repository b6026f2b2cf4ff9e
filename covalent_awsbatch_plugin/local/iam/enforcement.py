# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The enforcement of IAM policies, with the resources and conditions that moto ignores.

It is on for `local up` and the demo, and off for `LocalAWS` unless `enforce_iam` is given. Every check is written as a
line to `iam.jsonl` of the state directory: who, action, resource, allowed. test_moto_has_not_moved.py checks the parts
of moto that this module replaces.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import unquote
from xml.sax.saxutils import escape

import botocore.session
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError, JsonRESTError, _RESTError
from moto.iam.access_control import (
    CreateAccessKeyFailure,
    IAMPolicy,
    IAMPolicyStatement,
    PermissionResult,
    create_access_key,
)
from moto.iam.models import iam_backends
from moto.s3.exceptions import S3AccessDeniedError, S3ClientError
from moto.s3.models import s3_backends

from . import simulation as iam_simulation
from .required_actions import ApiRequest, Need, denial_text, needs, s3_action

SERVICE = "aws-batch"  # the access key id of AWS Batch itself, whose secret never leaves this process
ALWAYS = {
    "sts:GetCallerIdentity",
    "sts:AssumeRole",
}  # everybody may do the first; the role's trust policy decides the second
DELETED = re.compile(rb"<Object>.*?</Object>", re.DOTALL)
KEY = re.compile(rb"<Key>(.*?)</Key>")
TAGS, TAG_OPERATIONS = "/v1/tags/", {"GET": "ListTagsForResource", "POST": "TagResource", "DELETE": "UntagResource"}
JSON_SERVICES = {"batch", "ecr", "logs", "servicequotas"}
MODELS = {"servicequotas": "service-quotas"}  # botocore's model of a service that signs with another name
NO_QUERY: Mapping[str, Any] = {}
SECURE = {"aws:SecureTransport": "true"}  # the offline AWS uses plain HTTP, on the loopback only


class Principal(Protocol):
    """A user or an assumed role of moto."""

    arn: str

    def collect_policies(self) -> list[Any]: ...


def _own(path: str, flags: int) -> int:
    """Open a file that, if it is new, only this user can read."""
    return os.open(path, flags, 0o600)


class Guard:
    """A guard that checks a principal's permissions, and logs each check."""

    current: ClassVar[Guard | None] = None

    def __init__(self, log: Path) -> None:
        self._log, self._writing = log, threading.Lock()

    def allows(self, who: Principal, need: Need) -> bool:
        """Return whether a principal has a permission, and log it."""
        allowed = permits(who.collect_policies(), need)
        line = {"who": who.arn, "action": need.action, "resource": need.resource, "allowed": allowed}
        with self._writing, open(self._log, "a", opener=_own) as file:
            file.write(json.dumps(line) + "\n")
        return allowed


def permits(policies: list[Any], need: Need) -> bool:
    """Return whether policies in moto's form allow an action: at least one allows it, and none denies it."""
    context = SECURE | dict(need.context)
    results = [_permission(policy, need, context) for policy in policies]
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results


def denial(who: Principal, need: Need) -> str:
    """Return AWS's text of a denial."""
    return denial_text(who.arn, need.action, need.resource)


def _permission(policy: Any, need: Need, context: Mapping[str, str]) -> PermissionResult:
    """Return the result of one policy. IAMPolicy reads every form of moto's policies."""
    results = {
        of_statement(statement, need.action, need.resource, context) for statement in _statements(IAMPolicy(policy))
    }
    for result in (PermissionResult.DENIED, PermissionResult.PERMITTED):
        if result in results:
            return result
    return PermissionResult.NEUTRAL


def _statements(policy: IAMPolicy) -> list[dict[str, Any]]:
    statements = policy._policy_json["Statement"]
    return statements if isinstance(statements, list) else [statements]


def of_statement(statement: dict[str, Any], action: str, resource: str, context: Mapping[str, str]) -> Any:
    """Return the PermissionResult of one statement for an action on a resource."""
    concerned = (
        any(fnmatchcase(action.lower(), each.lower()) for each in _listed(statement.get("Action", [])))
        and any(fnmatchcase(resource, each) for each in _listed(statement.get("Resource", ANYTHING)))
        and _holds(statement.get("Condition", {}), context)
    )
    if not concerned:
        return PermissionResult.NEUTRAL
    return PermissionResult.PERMITTED if statement["Effect"] == "Allow" else PermissionResult.DENIED


ANYTHING = ["*"]
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
_TESTS = {
    "StringEquals": lambda value, allowed: value in allowed,
    "StringEqualsIfExists": lambda value, allowed: value is None or value in allowed,
    "StringNotEquals": lambda value, allowed: value not in allowed,
    "StringNotEqualsIfExists": lambda value, allowed: value is None or value not in allowed,
    "StringLike": lambda value, allowed: value is not None and any(fnmatchcase(value, each) for each in allowed),
    "StringNotLike": lambda value, allowed: not any(fnmatchcase(value or "", each) for each in allowed),
    "Null": lambda value, allowed: str(value is None).lower() in allowed,
    "Bool": lambda value, allowed: value in allowed,
}
# The condition keys of the S3 request that this thread answers.
CONDITIONS: ContextVar[Mapping[str, str]] = ContextVar("conditions", default={})  # noqa: B039 - never changed


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """Return whether all conditions hold. A condition operator that is missing in `_TESTS` raises KeyError."""
    return all(
        _TESTS[test](context.get(key), _listed(values))
        for test, keys in conditions.items()
        for key, values in keys.items()
    )


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def principal(account: str, access_key_id: str, headers: Mapping[str, str]) -> Principal | None:
    """Return the principal of an access key, None where the key is unknown."""
    try:
        return create_access_key(account, "aws", access_key_id, dict(headers))
    except (CreateAccessKeyFailure, KeyError):
        return None


class Role:
    """A role as a principal, for the actions of AWS under this role."""

    def __init__(self, account: str, arn: str) -> None:
        name = arn.rpartition("/")[2]
        self._backend, self._name = iam_backends[account]["aws"], name
        self.arn = f"arn:aws:sts::{account}:assumed-role/{name}/ecs"

    def collect_policies(self) -> list[Any]:
        names = self._backend.list_role_policies(self._name)
        inline = [self._backend.get_role_policy(self._name, name)[1] for name in names]
        return [*inline, *self._backend.list_attached_role_policies(self._name)[0]]


def _authorize(self: Any, iam_request_cls: type, resource: str = "*") -> None:
    """Check a request, in place of moto's method. `self` is the response class of the service."""
    if Guard.current is None:
        return
    if _scope(self.headers, self.querystring)[0] == SERVICE:
        return
    who = caller(self.current_account, self.headers, self.querystring)
    for need in _needs_of(self, resource):
        if need.action not in ALWAYS and (who is None or not Guard.current.allows(who, need)):
            _deny(who, need, _service_and_region(self)[0])
        if who is not None and need.action == "s3:GetObject":
            _hide_what_is_missing(self.current_account, who, need)


def _hide_what_is_missing(account: str, who: Principal, need: Need) -> None:
    """Deny a missing key where the principal may not list the bucket, as S3 does (API_GetObject, "Permissions")."""
    bucket, _, key = need.resource.partition("/")
    stored = s3_backends[account]["aws"].buckets.get(bucket.rpartition(":")[2])
    listing = Need("s3:ListBucket", bucket)
    if stored is not None and key not in stored.keys and not permits(who.collect_policies(), listing):
        _deny(who, listing, "s3")


def caller(account: str, headers: Mapping[str, str], query: Mapping[str, Any] = NO_QUERY) -> Principal | None:
    """Return the principal that signed a request, in a header or in a presigned URL's query."""
    token = _first(query, "X-Amz-Security-Token")
    if token and "Authorization" not in headers:
        headers = {**headers, "X-Amz-Security-Token": token}
    return principal(account, _scope(headers, query)[0], headers)


def _scope(headers: Mapping[str, str], query: Mapping[str, Any]) -> list[str]:
    """Return the parts of a signature's credential: access key id, date, Region, service, `aws4_request`."""
    of_header = headers.get("Authorization", "").partition("Credential=")[2].partition(",")[0]
    return (of_header or _first(query, "X-Amz-Credential")).split("/")


def _first(query: Mapping[str, Any], name: str) -> str:
    values = query.get(name) or [""]
    return str(values[0] if isinstance(values, list) else values)


def _needs_of(response: Any, resource: str) -> list[Need]:
    service, region = _service_and_region(response)
    if service == "s3":
        of_object = "/" in resource.rpartition(":")[2]
        action = s3_action(response.method, response.querystring, of_object=of_object)
        if action == "s3:DeleteObject" and not of_object:
            return _deleted(resource, bytes(response.raw_body))
        return [Need(action, resource)]
    if service == "batch" and TAGS in response.path:  # the only path of Batch that does not end with its operation
        return [Need(f"batch:{TAG_OPERATIONS[response.method]}", unquote(response.path.partition(TAGS)[2]))]
    operation = response._get_action()
    operation = _names(service).get(operation.lower(), operation)  # Batch's operations are spelled as in its URIs
    return needs(ApiRequest(service, operation, _parameters(response), region, response.current_account))


def _service_and_region(response: Any) -> tuple[str, str]:
    """Return the service and the Region of a request's signature."""
    scope = _scope(response.headers, response.querystring)
    return (scope[3], scope[2]) if len(scope) > 3 else (response.service_name, response.region)


def _deleted(bucket: str, body: bytes) -> list[Need]:
    """Return the permissions of DeleteObjects: one for each key, and another one for a version.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html, "Permissions"
    """
    permissions = []
    for each in DELETED.findall(body):
        key = KEY.search(each)
        of_object = f"{bucket}/{key[1].decode() if key else ''}"
        permissions.append(Need("s3:DeleteObject", of_object))
        if b"<VersionId>" in each:
            permissions.append(Need("s3:DeleteObjectVersion", of_object))
    return permissions


@cache
def _names(service: str) -> dict[str, str]:
    """Return the operations of a service, by their names in lower case."""
    model = botocore.session.get_session().get_service_model(MODELS.get(service, service))
    return {name.lower(): name for name in model.operation_names}


def _parameters(response: Any) -> dict[str, Any]:
    """Return the request's parameters: the JSON of the body, or the lists of the query."""
    try:
        body = json.loads(response.body)
    except (ValueError, TypeError):
        body = None
    return body if isinstance(body, dict) else dict(response.querystring)


class Denied(AccessDeniedError):
    """An error with AWS's whole text in the service's format, which clients of Go need."""

    def __init__(self, text: str, service: str) -> None:
        code = "UnauthorizedOperation" if service == "ec2" else "AccessDenied"
        _RESTError.__init__(self, code, text)
        error = f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>"
        self.description = (
            f"<Response><Errors>{error}</Errors></Response>"
            if service == "ec2"
            else f"<ErrorResponse>{error}</ErrorResponse>"
        )


class S3Denied(S3AccessDeniedError):
    """An AccessDenied error in S3's format."""

    def __init__(self, text: str) -> None:
        S3ClientError.__init__(self, "AccessDenied", text)


def _deny(who: Principal | None, need: Need, service: str) -> None:
    """Raise the error of the service. The permission can be another service's, such as iam:PassRole."""
    text = denial(who, need) if who else "Access Denied"
    if service in JSON_SERVICES:
        raise JsonRESTError("AccessDeniedException", text)
    raise S3Denied(text) if service == "s3" else Denied(text, service)


def _is_action_permitted(
    self: Any, action: str, resource: str = "*", principal: Any = None, incoming_condition_values: Any = None
) -> Any:
    """Return a statement's result, in place of moto's method, for which a failed condition is a denial.

    S3 calls it for bucket policies.
    """
    context = SECURE | dict(CONDITIONS.get()) | dict(incoming_condition_values or {})
    return of_statement(self._statement, action, resource, context)


def install(log: Path | None) -> None:
    """Replace this process's authorization of moto. With a `log`, IAM is enforced."""
    IAMPolicyStatement.is_action_permitted = _is_action_permitted
    ActionAuthenticatorMixin._authenticate_and_authorize_action = _authorize
    Guard.current = Guard(log) if log else None
    iam_simulation.install(_simulated)


def _simulated(account: str, by: Mapping[str, str], arn: str, policies: list[Any], need: Need) -> bool:
    """Return whether policies allow an action; log it where AWS Batch asks before it acts in the name of a role."""
    if Guard.current is not None and _scope(by, NO_QUERY)[0] == SERVICE:
        return Guard.current.allows(Role(account, arn), need)
    return permits(policies, need)
