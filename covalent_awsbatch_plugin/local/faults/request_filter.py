# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A filter before the offline AWS that counts every request by caller and operation, and refuses those over a quota.

Refusals are AWS's own: TooManyRequestsException of Batch, ThrottlingException of the JSON services, SlowDown of S3,
TOOMANYREQUESTS of ECR's registry. `CALLS_PATH` returns the counts; `STORM_PATH?seconds=30` refuses every second request
for that time. The filter also performs the faults of calls.
"""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from ..background import CALLS_PATH, FAULTS_PATH, STORM_PATH
from . import Faults
from .responses import control, perform, perform_here, throttled, without_body_for_head

REFUSED, BYTES = "refused", "bytes"  # prefixes of the counts of refusals, and of received bytes
REGISTRY = "registry"  # the caller of the registry, whose token names no access key
_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/aws4_request")
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_BATCH = re.compile(r"/v1/(\w+)")
_BATCH_NAMES = {
    name.lower(): name
    for name in (
        "CancelJob", "DeregisterJobDefinition", "DescribeComputeEnvironments", "DescribeJobDefinitions",
        "DescribeJobQueues", "DescribeJobs", "GetJobQueueSnapshot", "ListJobs", "RegisterJobDefinition", "SubmitJob",
        "TerminateJob",
    )
}  # fmt: skip
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """A gate that counts and limits the requests to all services.

    `quotas` are requests per second, by `service` or `service:Name`. A bucket holds the tokens of one second; `clock`
    returns seconds.
    """

    def __init__(self, quotas: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._quotas, self._clock = dict(quotas), clock
        self.faults = Faults(clock)
        self._buckets = {name: (rate, clock()) for name, rate in self._quotas.items()}
        self._lock = threading.Lock()
        self._storm_until, self._every_second = float("-inf"), 0
        self.calls: dict[str, Counter[str]] = {}

    def admit(self, who: str, operation: str, size: int = 0) -> bool:
        """Count a request. Return whether it may pass. `operation` is like `batch:SubmitJob`."""
        with self._lock:
            counts = self.calls.setdefault(who, Counter())
            counts[operation] += 1
            counts[f"{BYTES} {operation}"] += size
            passes = not self._in_storm() and self._takes_token(operation)
            counts[f"{REFUSED} {operation}"] += not passes
        return passes

    def storm(self, seconds: float) -> None:
        """Refuse every second request for this time."""
        with self._lock:
            self._storm_until = self._clock() + seconds

    def _in_storm(self) -> bool:
        if self._clock() >= self._storm_until:
            return False
        self._every_second += 1
        return self._every_second % 2 == 0

    def _takes_token(self, operation: str) -> bool:
        name = operation if operation in self._quotas else operation.partition(":")[0]
        if name not in self._quotas:
            return True
        rate, now = self._quotas[name], self._clock()
        tokens, since = self._buckets[name]
        tokens = min(rate, tokens + (now - since) * rate)
        self._buckets[name] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the counts that are not 0, by caller."""
        with self._lock:
            return {who: {name: n for name, n in counts.items() if n} for who, counts in self.calls.items()}


# ---- before moto's server ------------------------------------------------------------------------------------------
def before_moto(gate: Gate, app: Wsgi) -> Wsgi:
    """Return the application behind the gate."""

    def gated(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in (CALLS_PATH, STORM_PATH, FAULTS_PATH):
            return _own(gate, path, environ, start_response)
        who, operation = _read(environ, path)
        service = operation.partition(":")[0]
        if not gate.admit(who, operation, int(environ.get("CONTENT_LENGTH") or 0)):
            return without_body_for_head(environ, throttled(service, start_response))
        if fault := gate.faults.of_call(operation, who):
            return perform(fault, operation, app, environ, start_response)
        return app(environ, start_response)

    return gated


def _own(gate: Gate, path: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if path == STORM_PATH:
        gate.storm(float(parse_qs(environ.get("QUERY_STRING", ""))["seconds"][0]))
    if path == FAULTS_PATH:
        control(gate.faults, environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(gate.counts()).encode()]


def _read(environ: dict[str, Any], path: str) -> tuple[str, str]:
    """Return a request's access key, and its operation, like `s3:GetObject`."""
    credential = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    who, service = credential.groups() if credential else ("nobody", "unsigned")
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return who, f"{service}:{target.rpartition('.')[2]}"
    if service == "batch" and (route := _BATCH.match(path)):
        return who, f"batch:{_BATCH_NAMES.get(route[1], route[1])}"
    if service == "s3":
        return who, f"s3:{_s3(environ['REQUEST_METHOD'], path, environ.get('QUERY_STRING', ''))}"
    return who, f"{service}:{_action(environ)}"


def _s3(method: str, path: str, query: str) -> str:
    bucket, _, key = path.lstrip("/").partition("/")
    if method == "POST":
        return "DeleteObjects" if "delete" in query else "UploadPart"
    kind = "Object" if key else "Bucket"
    if method == "GET" and not key:
        return "ListObjectsV2" if bucket else "ListBuckets"
    return f"{method.capitalize()}{kind}"


def _action(environ: dict[str, Any]) -> str:
    """Return the action of a query-protocol request. The body can be read again."""
    if "form" not in environ.get("CONTENT_TYPE", ""):
        return environ["REQUEST_METHOD"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    action = _ACTION.search(body)
    return action[1].decode() if action else environ["REQUEST_METHOD"]


# ---- before the registry -------------------------------------------------------------------------------------------
def before_registry(gate: Gate, refusal: Callable[[], web.Response]) -> Any:
    """Return a middleware. Operations are `ecr:PutImage` for a manifest's PUT, else like `ecr:blob GET`."""

    @web.middleware
    async def gated(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = _registry_operation(request.method, request.path)
        if not gate.admit(REGISTRY, operation, request.content_length or 0):
            return refusal()
        if fault := gate.faults.of_call(operation, REGISTRY):
            return await perform_here(fault, request, handler, refusal())
        return await handler(request)

    return gated


def _registry_operation(method: str, path: str) -> str:
    if "/manifests/" in path:
        return "ecr:PutImage" if method == "PUT" else f"ecr:manifest {method}"
    return f"ecr:blob {method}"
