# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Requests on the wire, and the operation that each of them is: `s3:GetObject`, `batch:SubmitJob`, `registry:GetBlob`.

The operation follows from botocore's service models, and for a registry from the distribution specification. The
operations that the conformance suite recorded are in recorded_operations.json: `RECORDED` reads it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

import botocore.session
from botocore.model import OperationModel, ServiceModel

OPERATIONS_FILE = Path(__file__).parent / "recorded_operations.json"
RECORD_OPERATIONS = "RECORD_OPERATIONS"  # the environment variable of `make record-operations`
REGISTRY = "registry"
UNKNOWN = "unknown"
AGENTS = ("aiobotocore/", "covalent-awsbatch-plugin", "object_store/")  # the user agents of the package's own requests
MODELS = {"servicequotas": "service-quotas"}  # botocore's model of a service that signs with another name
_SCOPE = re.compile(r"Credential=([^/,]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
_REGISTRY = (
    (re.compile(r"^/v2/$"), {"GET": "Ping"}),
    (re.compile(r"/manifests/[^/]+$"), {
        "HEAD": "HeadManifest", "GET": "GetManifest", "PUT": "PutManifest", "DELETE": "DeleteManifest",
    }),
    (re.compile(r"/blobs/uploads/[^/]*$"), {
        "POST": "StartUpload", "PATCH": "UploadChunk", "PUT": "FinishUpload", "GET": "UploadStatus",
        "DELETE": "CancelUpload",
    }),
    (re.compile(r"/blobs/[^/]+$"), {"HEAD": "HeadBlob", "GET": "GetBlob", "DELETE": "DeleteBlob"}),
    (re.compile(r"/tags/list$"), {"GET": "ListTags"}),
)  # fmt: skip


@dataclass(frozen=True)
class WireRequest:
    """A request as it was sent. `target` is the path and query as on the wire; names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query, those without a value too."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def scope(self) -> tuple[str, str, str] | None:
        """Access key id, Region and service of the signature, in a header or a presigned URL; None without one."""
        found = _SCOPE.search(self.headers.get("authorization", ""))
        if found is None and (credential := self.query.get("X-Amz-Credential")):
            found = _SCOPE.search(f"Credential={credential}")
        return (found[1], found[2], found[3]) if found else None

    @property
    def operation(self) -> str:
        """The operation, like `s3:GetObject`; `unknown:METHOD /path` where no model has it."""
        if self.path.startswith("/v2/"):
            return f"{REGISTRY}:{_of_registry(self)}"
        service = self.scope[2] if self.scope else "s3"
        name = _operation_name(service, self)
        return f"{service}:{name}" if name else f"{UNKNOWN}:{self.method} {self.path}"


@dataclass(frozen=True)
class Exchange:
    """A request and its response."""

    request: WireRequest
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    world: str = ""

    @property
    def operation(self) -> str:
        return self.request.operation


@dataclass
class Record:
    """All exchanges of a run, in the order of their responses."""

    exchanges: list[Exchange] = field(default_factory=list)

    def add(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    @property
    def operations(self) -> list[str]:
        """The operations, each once, sorted."""
        return sorted({each.operation for each in self.exchanges})


def recorded_operations() -> list[str]:
    """Return the operations of the conformance suite's last whole run in both worlds, sorted."""
    recorded: dict[str, list[str]] = json.loads(OPERATIONS_FILE.read_text(encoding="utf-8"))
    return sorted({operation for operations in recorded.values() for operation in operations})


def keep_operations(world: str, record: Record) -> None:
    """Write a world's operations into the file, where RECORD_OPERATIONS is set: `make record-operations` sets it."""
    if os.environ.get(RECORD_OPERATIONS):
        recorded: dict[str, list[str]] = json.loads(OPERATIONS_FILE.read_text(encoding="utf-8"))
        ours = (each for each in record.exchanges if each.world == world and is_of_the_package(each.request))
        recorded[world] = sorted({each.operation for each in ours})
        OPERATIONS_FILE.write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")


def is_of_the_package(request: WireRequest) -> bool:
    """Return whether the package sent a request, and not a test, an engine, Terraform or Batch."""
    agent = request.headers.get("user-agent", "")
    return agent.startswith(AGENTS) or "X-Amz-Signature" in request.query


# ---- from a request to its operation --------------------------------------------------------------------------------
@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service, by the name with which the service's requests are signed."""
    return botocore.session.get_session().get_service_model(MODELS.get(service, service))


def _of_registry(request: WireRequest) -> str:
    names: dict[str, str] = next((names for pattern, names in _REGISTRY if pattern.search(request.path)), {})
    if "mount" in request.query and names.get(request.method) == "StartUpload":
        return "MountBlob"
    return names.get(request.method, f"{request.method} {request.path}")


def _operation_name(service: str, request: WireRequest) -> str | None:
    if target := request.headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    model = service_model(service)
    if model.metadata["protocol"] in ("query", "ec2"):
        form = parse_qs(request.body.decode("utf-8", "replace"))
        action: str | None = form.get("Action", [request.query.get("Action", "")])[0]
        return action or None
    fitting = [(score, name) for name, score in _fitting(service, request)]
    return max(fitting)[1] if fitting else None


def _fitting(service: str, request: WireRequest) -> Iterator[tuple[str, int]]:
    """Yield the operations of a REST service that a request can be, with the number of its parts that say so."""
    for name, route in _routes(service):
        if route.method == request.method and route.path.fullmatch(request.path) and route.fits(request):
            yield name, route.weight


@dataclass(frozen=True)
class Route:
    """The method, path and required parts of an operation's requests. Labels of `path` are its groups."""

    method: str
    path: re.Pattern[str]
    literals: tuple[tuple[str, str], ...]
    queries: tuple[str, ...]
    headers: tuple[str, ...]

    @property
    def weight(self) -> int:
        return 2 * len(self.literals) + len(self.queries) + len(self.headers)

    def fits(self, request: WireRequest) -> bool:
        query = request.query
        return (
            all(name in query and value in ("", query[name]) for name, value in self.literals)
            and all(name in query for name in self.queries)
            and all(name in request.headers for name in self.headers)
        )


@cache
def _routes(service: str) -> list[tuple[str, Route]]:
    model = service_model(service)
    return [(name, route(model.operation_model(name))) for name in model.operation_names]


def route(operation: OperationModel) -> Route:
    """Return how the requests of a REST operation look."""
    path, _, query = operation.http["requestUri"].partition("?")
    words = [f"(?P<{_group(label)}>.+)" if plus else f"(?P<{_group(label)}>[^/]+)" if label else re.escape(text)
             for text, label, plus in re.findall(r"([^{]+)|\{(\w+)(\+?)\}", path)]  # fmt: skip
    shape: Any = operation.input_shape
    required = [shape.members[name].serialization for name in shape.required_members] if shape else []
    return Route(
        operation.http["method"],
        re.compile("".join(words) + "/?"),
        tuple(pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "x-id"),
        tuple(each["name"] for each in required if each.get("location") == "querystring"),
        tuple(each["name"].lower() for each in required if each.get("location") == "header"),
    )


def _group(label: str) -> str:
    return label.replace("-", "_")


def labels(service: str, name: str, request: WireRequest) -> dict[str, str]:
    """Return the values of the path's labels of a REST request, by their names on the wire."""
    found = dict(_routes(service))[name].path.fullmatch(request.path)
    return {label: unquote(value) for label, value in found.groupdict().items()} if found else {}
