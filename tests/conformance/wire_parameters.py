# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The parameters of a request, read back from the wire by botocore's model. What no member stands for is a problem.

The protocols: https://smithy.io/2.0/aws/protocols/, restXml, restJson1, awsJson1_1, awsQuery and ec2Query.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

from tests.recorded_traffic import WireRequest, labels, service_model

# Headers of the signature, of HTTP and of SDKs, which no member stands for
PROTOCOL_HEADERS = {
    "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-target", "x-amz-user-agent",
    "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-sdk-checksum-algorithm", "x-amz-api-version",
}  # fmt: skip
# Headers of operations with the trait httpChecksum, which have a member for some of the algorithms only
CHECKSUM = "x-amz-checksum-"
FORM_PROTOCOL = {"Action", "Version"}
BLOB = "blob"


class NotInTheModel(Exception):
    """A request has a part that no member of its operation's input stands for."""


def parameters(request: WireRequest) -> dict[str, Any]:
    """Return a request's parameters by the names of the model. Raises NotInTheModel."""
    service, _, name = request.operation.partition(":")
    model = service_model(service)
    operation = model.operation_model(name)
    read: Callable[[Any, WireRequest, str, str], dict[str, Any]] = _PROTOCOLS[model.metadata["protocol"]]
    return read(operation, request, service, name)


# ---- JSON ------------------------------------------------------------------------------------------------------------
def _json(operation: Any, request: WireRequest, service: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body or b"{}")
    return found


def _rest_json(operation: Any, request: WireRequest, service: str, name: str) -> dict[str, Any]:
    shape = operation.input_shape
    known = {member.serialization.get("name", key): key for key, member in shape.members.items()}
    located = {known[label]: value for label, value in labels(service, name, request).items()}
    located |= {_known(known, "query", key): value for key, value in request.query.items()}
    return located | {known.get(key, key): value for key, value in json.loads(request.body or b"{}").items()}


# ---- forms -----------------------------------------------------------------------------------------------------------
def _form(operation: Any, request: WireRequest, service: str, name: str) -> dict[str, Any]:
    form = {key: value[0] for key, value in parse_qs(request.body.decode(), keep_blank_values=True).items()}
    form = {key: value for key, value in form.items() if key not in FORM_PROTOCOL}
    is_ec2 = service_model(service).metadata["protocol"] == "ec2"
    found = _Form(form, is_ec2).structure(operation.input_shape, "") if operation.input_shape else {}
    if form:
        raise NotInTheModel(f"form fields {sorted(form)}")
    return dict(found or {})


class _Form:
    """The fields of a form, each taken away once it was read."""

    def __init__(self, form: dict[str, str], is_ec2: bool) -> None:
        self._form, self._is_ec2 = form, is_ec2

    def structure(self, shape: Any, prefix: str) -> dict[str, Any] | None:
        found = {key: self._value(member, prefix + self._name(key, member)) for key, member in shape.members.items()}
        return {key: value for key, value in found.items() if value is not None} or None

    def _name(self, key: str, member: Any) -> str:
        serialization = member.serialization
        if not self._is_ec2:
            return str(serialization.get("name", key))
        name = str(serialization.get("queryName") or serialization.get("name", key))
        return name if "queryName" in serialization else name[0].upper() + name[1:]

    def _value(self, shape: Any, name: str) -> Any:
        if shape.type_name == "structure":
            return self.structure(shape, f"{name}.")
        if shape.type_name == "list":
            return self._list(shape, name)
        if shape.type_name == "map":
            return self._map(shape, name)
        text = self._form.pop(name, None)
        return None if text is None else scalar(shape, text)

    def _list(self, shape: Any, name: str) -> list[Any] | None:
        flat = self._is_ec2 or shape.serialization.get("flattened")
        prefix = name if flat else f"{name}.{shape.member.serialization.get('name', 'member')}"
        values, number = [], 1
        while (value := self._value(shape.member, f"{prefix}.{number}")) is not None:
            values.append(value)
            number += 1
        return values or None

    def _map(self, shape: Any, name: str) -> dict[str, Any] | None:
        values, number = {}, 1
        while (key := self._form.pop(f"{name}.entry.{number}.key", None)) is not None:
            values[key] = self._value(shape.value, f"{name}.entry.{number}.value")
            number += 1
        return values or None


# ---- XML -------------------------------------------------------------------------------------------------------------
def _rest_xml(operation: Any, request: WireRequest, service: str, name: str) -> dict[str, Any]:
    shape = operation.input_shape
    known = {
        (m.serialization.get("location"), m.serialization.get("name", key)): key for key, m in shape.members.items()
    }
    path = labels(service, name, request)
    found = {known["uri", label]: value for label, value in path.items()}
    literal = {part.partition("=")[0] for part in operation.http["requestUri"].partition("?")[2].split("&")} | {"x-id"}
    query = {key: value for key, value in request.query.items() if key not in literal and not key.startswith("X-Amz-")}
    found |= {_known(known, ("querystring", key), key): value for key, value in query.items()}
    found |= _of_headers(known, request, bool(operation.http_checksum.get("requestAlgorithmMember")))
    found = {key: scalar(shape.members[key], value) for key, value in found.items()}
    return found | _payload(shape, request)


def _of_headers(known: dict[Any, str], request: WireRequest, has_checksum: bool) -> dict[str, str]:
    allowed = (*(name.lower() for where, name in known if where == "headers"), *(CHECKSUM,) * has_checksum)
    by_header = {name.lower(): key for (where, name), key in known.items() if where == "header"}
    found = {}
    for name, value in request.headers.items():
        if name in by_header:
            found[by_header[name]] = value
        elif name.startswith("x-amz-") and name not in PROTOCOL_HEADERS and not name.startswith(allowed):
            raise NotInTheModel(f"header {name}")
    return found


def _payload(shape: Any, request: WireRequest) -> dict[str, Any]:
    name = shape.serialization.get("payload")
    if name is None:
        if request.body:
            raise NotInTheModel("a body")
        return {}
    member = shape.members[name]
    if member.type_name == BLOB or member.type_name == "string":
        return {name: request.body}
    return {name: _element(member, ElementTree.fromstring(request.body))} if request.body else {}


def _element(shape: Any, element: ElementTree.Element) -> Any:
    if shape.type_name == "structure":
        return _members(shape, element)
    if shape.type_name == "list":
        return [_element(shape.member, each) for each in element]
    return scalar(shape, element.text or "")


def _members(shape: Any, element: ElementTree.Element) -> dict[str, Any]:
    known = {}
    for key, member in shape.members.items():
        flat = member.type_name == "list" and member.serialization.get("flattened")
        known[member.serialization.get("name", key)] = (key, member, flat)
    found: dict[str, Any] = {}
    for child in element:
        tag = child.tag.rpartition("}")[2]
        if tag not in known:
            raise NotInTheModel(f"element {tag}")
        key, member, flat = known[tag]
        if flat:
            found.setdefault(key, []).append(_element(member.member, child))
        else:
            found[key] = _element(member, child)
    return found


# ---- all protocols ---------------------------------------------------------------------------------------------------
def scalar(shape: Any, text: str) -> Any:
    """Return a value of a text; a text that is none of the shape's type stays a text, which its check refuses."""
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[text]
    except (ValueError, KeyError):
        return text
    return text


def _known(known: dict[Any, str], wanted: Any, name: str) -> str:
    if wanted not in known:
        raise NotInTheModel(f"query parameter {name}")
    return known[wanted]


_PROTOCOLS = {"json": _json, "rest-json": _rest_json, "query": _form, "ec2": _form, "rest-xml": _rest_xml}
