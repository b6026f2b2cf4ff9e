# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Pages of three entries for lists of S3, CloudWatch Logs, Batch and ECR, which a test's few entries would not fill."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
ENTRIES = 3
_BY_LIMIT = ("logs:GetLogEvents", "logs:FilterLogEvents")  # their tokens are not `nextToken` alone
_AFTER_EMPTY = "after-the-empty-page"
_NO_LIST = ("batch:DescribeJobs",)  # answers for ids, without pages


def small_pages(operation: str, app: Wsgi, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Return the response of `app` with at most three entries, and the token for more."""
    if operation == "s3:ListObjectsV2":
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        environ["QUERY_STRING"] = urlencode(query | {"max-keys": str(ENTRIES)})
        return app(environ, start_response)
    name = operation.partition(":")[2]
    if not name.startswith(("List", "Describe", "Get", "Filter")) or operation in _NO_LIST:
        return app(environ, start_response)
    body = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
    if operation == "logs:FilterLogEvents":
        if "nextToken" not in body:
            return _empty_page(start_response)
        body = {name: value for name, value in body.items() if value != _AFTER_EMPTY}
    if operation in _BY_LIMIT:
        _put_body(environ, body | {"limit": min(ENTRIES, body.get("limit") or ENTRIES)})
        return app(environ, start_response)
    begin = int(body.pop("nextToken", None) or 0)
    _put_body(environ, body)
    return _cut(begin, app, environ, start_response)


def _empty_page(start_response: Any) -> Iterable[bytes]:
    """Return the page that CloudWatch gives while it searches: no events, and a token for those that follow."""
    start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps({"events": [], "searchedLogStreams": [], "nextToken": _AFTER_EMPTY}).encode()]


def _put_body(environ: dict[str, Any], body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(data), str(len(data))


def _cut(begin: int, app: Wsgi, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Return the entries from `begin` on. The list is complete in `app`'s first page, as a test's few entries are."""
    head: list[Any] = []
    data = b"".join(app(environ, lambda *parts: head.extend(parts)))
    page = json.loads(data) if str(head[0]).startswith("200") else {}
    key = next((name for name, value in page.items() if isinstance(value, list)), None)
    if key is not None:
        entries = page[key]
        page[key] = entries[begin : begin + ENTRIES]
        if begin + ENTRIES < len(entries):
            page["nextToken"] = str(begin + ENTRIES)
        data = json.dumps(page).encode()
    start_response(head[0], [each for each in head[1] if each[0].lower() != "content-length"], *head[2:])
    return [data]
