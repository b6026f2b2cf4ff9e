# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Whose requests the offline AWS answers: those that hold a key, from this machine, and of no foreign web page.

Every user of a machine reaches its loopback addresses, and so does every web page in a browser on it. A refusal is a
403 in the form of the service that was asked.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from .faults.responses import answer_error, without_words
from .iam.keys import Keys
from .iam.origin import FOREIGN, is_own
from .iam.signature import BODY_NOT_COVERED, Claim, Fault, NotAccepted, Sent, check, claim_of

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Clock = Callable[[], datetime]

CONTROL = "/_local/"  # the offline AWS's own paths
CLOSED = ("/moto-api", "/favicon.ico", "/latest/meta-data/", "/latest/api/")  # moto's own pages: they ask for no key
NOT_HERE = "This page is closed"
NO_TOKEN = "The control token is missing or wrong"  # noqa: S105 - words
_DENIED = {"s3": "AccessDenied", "ec2": "UnauthorizedOperation", "iam": "AccessDenied", "sts": "AccessDenied"}
# By the service's way of saying it: S3, the query protocol, EC2, JSON.
_CODES = {
    Fault.MISSING: ("AccessDenied", "MissingAuthenticationToken", "AuthFailure", "MissingAuthenticationTokenException"),
    Fault.INCOMPLETE: ("AccessDenied", "IncompleteSignature", "AuthFailure", "IncompleteSignatureException"),
    Fault.UNKNOWN_KEY: (
        "InvalidAccessKeyId", "InvalidClientTokenId", "AuthFailure", "UnrecognizedClientException",
    ),
    Fault.WRONG_TOKEN: ("InvalidToken", "InvalidClientTokenId", "AuthFailure", "UnrecognizedClientException"),
    Fault.EXPIRED: ("ExpiredToken", "ExpiredToken", "RequestExpired", "ExpiredTokenException"),
    Fault.SKEWED: ("RequestTimeTooSkewed", "SignatureDoesNotMatch", "RequestExpired", "InvalidSignatureException"),
    Fault.SIGNATURE: ("SignatureDoesNotMatch", "SignatureDoesNotMatch", "AuthFailure", "InvalidSignatureException"),
    Fault.UNSIGNED_HEADER: ("AccessDenied", "SignatureDoesNotMatch", "AuthFailure", "InvalidSignatureException"),
    Fault.BODY: (
        "XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "AuthFailure", "InvalidSignatureException",
    ),
}  # fmt: skip
_FORMS = {"s3": 0, "iam": 1, "sts": 1, "ec2": 2}


def _now() -> datetime:
    return datetime.now(UTC)


def before_all(keys: Keys, control_token: str, app: Wsgi, clock: Clock = _now) -> Wsgi:
    """Return the application behind a check: requests need a signature by one of the keys, its own paths the token."""

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not is_own(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN")):
            return _refused(environ, FOREIGN, start_response)
        if path.startswith(CLOSED):
            return _refused(environ, NOT_HERE, start_response)
        if path.startswith(CONTROL):
            given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1")
            if not compare_digest(given, f"Bearer {control_token}".encode()):
                return _refused(environ, NO_TOKEN, start_response)
        else:
            try:
                _authenticate(environ, keys, clock())
            except NotAccepted as error:
                return _refused(environ, error.fault, start_response)
        return app(environ, _without_cors(start_response))

    return guarded


def _authenticate(environ: dict[str, Any], keys: Keys, now: datetime) -> None:
    """Check a request's signature. A body that the signature covers is read and put back. Raises NotAccepted."""
    sent = _sent(environ)
    claim = claim_of(sent)
    key = keys.find(claim.access_key_id)
    if key is None:
        raise NotAccepted(Fault.UNKNOWN_KEY)
    if claim.service != "s3":
        check(sent, claim, key, now, sha256(_body(environ)).hexdigest())
        return
    declared = claim.declared or ""
    check(sent, claim, key, now, declared)
    if declared not in BODY_NOT_COVERED and declared != sha256(_body(environ)).hexdigest():
        raise NotAccepted(Fault.BODY)


def _sent(environ: Mapping[str, Any]) -> Sent:
    headers = {name.removeprefix("HTTP_"): str(value) for name, value in environ.items() if name.startswith("HTTP_")}
    headers |= {name: environ[name] for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if name in environ}
    target = environ["RAW_URI"]
    if not target.startswith("/"):  # a whole URL, as a proxy is asked
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return Sent(environ["REQUEST_METHOD"], path, query, headers)


def _body(environ: dict[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH", "")
    size = int(length) if length.isdecimal() else 0
    body: bytes = environ["wsgi.input"].read(-1 if environ.get("wsgi.input_terminated") else size)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _without_cors(start_response: Any) -> Any:
    """No web page of another origin may read an answer."""

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [each for each in headers if not _is_cors(each[0])], *more)

    return start


def _is_cors(header: str) -> bool:
    return header.lower().startswith("access-control-")


def _refused(environ: dict[str, Any], why: Fault | str, start_response: Any) -> Iterable[bytes]:
    service = _service(environ)
    if isinstance(why, Fault):
        code, words = _CODES[why][_FORMS.get(service, 3)], why.value
    else:
        code, words = _DENIED.get(service, "AccessDeniedException"), why
    return without_words(environ, answer_error(service, "403 Forbidden", code, words, start_response))


def _service(environ: Mapping[str, Any]) -> str:
    """Return the service in whose form to refuse: the one that the request is signed for, or else looks like."""
    try:
        claim: Claim = claim_of(_sent(environ))
    except NotAccepted:
        if "HTTP_X_AMZ_TARGET" in environ:
            return "json"
        if environ.get("PATH_INFO", "").startswith("/v1/"):
            return "batch"
        return "sts" if "form" in environ.get("CONTENT_TYPE", "") else "s3"
    return claim.service
