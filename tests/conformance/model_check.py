# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Requests against botocore's service models, in strict mode: members, required ones, types, lengths, enums, patterns.

botocore itself checks types and required members of what it sends, and nothing of the rest. A registry's requests have
no model; they are checked against the routes of the distribution specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from tests.conformance.wire_parameters import NotInTheModel, parameters
from tests.recorded_traffic import REGISTRY, UNKNOWN, Exchange, WireRequest, service_model

TYPES = {
    "string": str, "integer": int, "long": int, "float": (int, float), "double": (int, float), "boolean": bool,
    "list": list, "map": dict, "structure": dict, "blob": (bytes, str), "timestamp": (int, float, str),
}  # fmt: skip
JAVA_CLASSES = {
    r"\p{XDigit}": "0-9a-fA-F", r"\p{Alnum}": "a-zA-Z0-9", r"\p{Z}": r"\s", r"\p{N}": "0-9",
    r"\p{L}": "a-zA-Z\u00aa-\uffff",
}  # fmt: skip
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
Problem = str


def problems(exchanges: Iterable[Exchange]) -> list[Problem]:
    """Return a sentence for each part of a request that AWS's model does not allow, each once."""
    return sorted({problem for each in exchanges for problem in of_request(each.request)})


def of_request(request: WireRequest) -> Iterator[Problem]:
    """Yield the problems of one request."""
    operation = request.operation
    service, _, name = operation.partition(":")
    if service == UNKNOWN or (service == REGISTRY and " " in name):
        yield f"{operation} is no operation"
    elif service == REGISTRY:
        yield from _of_registry(operation, request)
    elif name not in service_model(service).operation_names:
        yield f"{operation} is no operation of the model"
    else:
        try:
            found = parameters(request)
        except NotInTheModel as error:
            yield f"{operation}: the model does not have {error}"
            return
        shape = service_model(service).operation_model(name).input_shape
        if shape is not None:
            yield from (f"{operation}: {problem}" for problem in of_value(shape, found, "input"))


def _of_registry(operation: str, request: WireRequest) -> Iterator[Problem]:
    if operation.endswith("Blob") and not DIGEST.search(unquote(request.target)):
        yield f"{operation}: the request names no digest"
    if operation == "registry:FinishUpload" and not DIGEST.fullmatch(request.query.get("digest", "")):
        yield f"{operation}: the query has no digest"
    if operation == "registry:PutManifest" and "content-type" not in request.headers:
        yield f"{operation}: the manifest has no media type"


def of_value(shape: Any, value: Any, path: str) -> Iterator[Problem]:
    """Yield the problems of a value, and of all below it."""
    expected = TYPES[shape.type_name]
    if not isinstance(value, expected) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{path} is {type(value).__name__}, not {shape.type_name}"
        return
    yield from _of_limits(shape, value, path)
    if shape.type_name == "structure":
        for name in set(shape.required_members) - set(value):
            yield f"{path} lacks {name}"
        for name, inner in value.items():
            if name not in shape.members:
                yield f"{path} has the unknown member {name}"
            else:
                yield from of_value(shape.members[name], inner, f"{path}.{name}")
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from of_value(shape.member, inner, f"{path}[{number}]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from of_value(shape.key, key, f"{path} key")
            yield from of_value(shape.value, inner, f"{path}[{key}]")


def _of_limits(shape: Any, value: Any, path: str) -> Iterator[Problem]:
    metadata = shape.metadata
    size = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if size is None and isinstance(value, (str, bytes, list, dict)):
        size = len(value)
    for limit, is_broken in (("min", lambda most: size < most), ("max", lambda most: size > most)):
        if limit in metadata and size is not None and is_broken(metadata[limit]):
            yield f"{path} has {size}, and the {limit} is {metadata[limit]}"
    if metadata.get("enum") and value not in metadata["enum"]:
        yield f"{path} is {value!r}, which is not of the enum"
    if (pattern := metadata.get("pattern")) and not _matches(pattern, str(value)):
        yield f"{path} is {value!r}, which does not match {pattern}"


def _matches(pattern: str, value: str) -> bool:
    """Return whether a text fits a pattern of Java's, which may be meant for a part of it."""
    for java, python in JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.search(pattern, value, re.DOTALL) is not None


# ---- what is read of responses ---------------------------------------------------------------------------------------
ADDED = {"ResponseMetadata", "Error"}  # by botocore
POLICY_SHAPES = {"policyDocumentType"}  # texts of JSON that botocore makes dictionaries of
# `AWS.items` looks for the next page's token under the names that all services have for it
PAGE_TOKENS = {"nextToken", "NextToken", "NextContinuationToken", "Marker", "IsTruncated"}
EVERYWHERE = ADDED | PAGE_TOKENS
# `jobs.description` also reads what people paste of a record: a container's fields at its top; and EKS's attempts
PASTED = {("jobs", *at, name) for at in ((), ("attempts",)) for name in ("exitCode", "reason", "logStreamName")}
TRIED = {("batch", "DescribeJobs", path) for path in PASTED | {("jobs", "attempts", "containers")}}


def unmodelled_reads(reads: Iterable[tuple[str, str, tuple[str, ...]]]) -> list[Problem]:
    """Return a sentence for each field that is read of a response and that its operation's output does not have.

    A read is a service, an operation, and the path of keys; a list has no part in it.
    """
    return sorted({f"{service}:{name} has no {'.'.join(path)}" for service, name, path in set(reads) - TRIED
                   if path[0] not in EVERYWHERE and not _has(_output(service, name), path)})  # fmt: skip


def _output(service: str, name: str) -> Any:
    return service_model(service).operation_model(name).output_shape


def _has(shape: Any, path: tuple[str, ...]) -> bool:
    while shape is not None and shape.type_name == "list":
        shape = shape.member
    if not path or shape is None:
        return shape is not None
    if shape.name in POLICY_SHAPES:
        return True
    if shape.type_name == "map":
        return _has(shape.value, path[1:])
    return shape.type_name == "structure" and path[0] in shape.members and _has(shape.members[path[0]], path[1:])
