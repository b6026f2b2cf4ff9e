# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Signature Version 4 as the receiver checks it, in a header or in a presigned URL. No clock, no network.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from posixpath import normpath
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
# S3 alone takes a body that the signature does not cover.
BODY_NOT_COVERED = (UNSIGNED, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
SKEW = timedelta(minutes=15)
MOST_SECONDS = 7 * 24 * 3600  # of a presigned URL
SAFE = "-_.~"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Fault(Enum):
    """Why a request is not accepted."""

    MISSING = "Request is missing Authentication Token"
    INCOMPLETE = "Authorization header or query string is not a complete AWS Signature Version 4"
    UNKNOWN_KEY = "The AWS access key Id you provided does not exist in our records"
    WRONG_TOKEN = "The security token included in the request is invalid"  # noqa: S105 - words
    EXPIRED = "The security token included in the request is expired"
    SKEWED = (
        "Signature expired or not yet current: the difference between the request time and the server's is too large"
    )
    SIGNATURE = "The request signature we calculated does not match the signature you provided"
    UNSIGNED_HEADER = "There were headers present in the request which were not signed"
    BODY = "The provided x-amz-content-sha256 header does not match what was computed"


class NotAccepted(Exception):
    """The request proves nothing of its sender."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True)
class Sent:
    """A request as it came: path and query undecoded, headers by their WSGI names (`X_AMZ_DATE`)."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    def header(self, name: str) -> str | None:
        return self.headers.get(wsgi_name(name))

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query's names and values, encoded as a signature counts them."""
        pairs = (part.partition("=") for part in self.query.split("&") if part)
        return [(_encoded(name), _encoded(value)) for name, _, value in pairs]


@dataclass(frozen=True)
class Key:
    """An access key's other half; `token` and `expires` are those of temporary credentials."""

    secret: str
    token: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class Claim:
    """What a request says of its signature. `seconds`: how long a presigned URL is good, None for a header's."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str
    time: str
    token: str | None
    seconds: int | None
    declared: str | None  # the digest of the body, as the request tells it

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def wsgi_name(name: str) -> str:
    """Return the name of a header in capitals, with underscores."""
    return name.upper().replace("-", "_")


def claim_of(sent: Sent) -> Claim:
    """Read the signature that a request carries. Raises NotAccepted where it has none, or half of one."""
    if header := sent.header("Authorization"):
        return _of_header(sent, header)
    found = {name: unquote_to_bytes(value).decode("latin-1") for name, value in sent.parameters}
    if "X-Amz-Signature" not in found:
        raise NotAccepted(Fault.MISSING)
    return _of_query(found)


def _of_header(sent: Sent, header: str) -> Claim:
    algorithm, _, rest = header.partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if algorithm != ALGORITHM:
        raise NotAccepted(Fault.INCOMPLETE)
    return _claim(
        parts.get("Credential", ""),
        parts.get("SignedHeaders", ""),
        parts.get("Signature", ""),
        time=sent.header("X-Amz-Date") or "",
        token=sent.header("X-Amz-Security-Token"),
        seconds=None,
        declared=sent.header("X-Amz-Content-Sha256"),
    )


def _of_query(found: Mapping[str, str]) -> Claim:
    seconds = found.get("X-Amz-Expires", "")
    if found.get("X-Amz-Algorithm") != ALGORITHM or not seconds.isdecimal() or int(seconds) > MOST_SECONDS:
        raise NotAccepted(Fault.INCOMPLETE)
    return _claim(
        found.get("X-Amz-Credential", ""),
        found.get("X-Amz-SignedHeaders", ""),
        found["X-Amz-Signature"],
        time=found.get("X-Amz-Date", ""),
        token=found.get("X-Amz-Security-Token"),
        seconds=int(seconds),
        declared=found.get("X-Amz-Content-Sha256", UNSIGNED),
    )


def _claim(
    credential: str,
    signed: str,
    signature: str,
    *,
    time: str,
    token: str | None,
    seconds: int | None,
    declared: str | None,
) -> Claim:
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request" or not signed or not _DIGEST.fullmatch(signature):
        raise NotAccepted(Fault.INCOMPLETE)
    access_key_id, date, region, service, _ = parts
    headers = tuple(signed.split(";"))
    return Claim(access_key_id, date, region, service, headers, signature, time, token, seconds, declared)


def check(sent: Sent, claim: Claim, key: Key, now: datetime, body_digest: str) -> None:
    """Check that the sender of a request holds the key.

    `body_digest` is the hexadecimal SHA-256 of its body, or what S3 takes in its place. Raises NotAccepted.
    """
    _check_time(claim, now)
    if not hmac.compare_digest((claim.token or "").encode(), (key.token or "").encode()):
        raise NotAccepted(Fault.WRONG_TOKEN)
    if key.expires is not None and now >= key.expires:
        raise NotAccepted(Fault.EXPIRED)
    signed = {wsgi_name(name) for name in claim.signed}
    if "HOST" not in signed or any(name.startswith("X_AMZ_") and name not in signed for name in sent.headers):
        raise NotAccepted(Fault.UNSIGNED_HEADER)
    if not hmac.compare_digest(_signature(sent, claim, key.secret, body_digest), claim.signature):
        raise NotAccepted(Fault.SIGNATURE)


def _check_time(claim: Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise NotAccepted(Fault.INCOMPLETE) from None
    lasts = SKEW if claim.seconds is None else timedelta(seconds=claim.seconds)
    if claim.date != claim.time[:8] or not signed_at - SKEW <= now <= signed_at + lasts:
        raise NotAccepted(Fault.SKEWED)


def _signature(sent: Sent, claim: Claim, secret: str, body_digest: str) -> str:
    canonical = sha256(_canonical(sent, claim, body_digest).encode("latin-1")).hexdigest()
    text = "\n".join((ALGORITHM, claim.time, claim.scope, canonical))
    key = _signing_key(secret, claim.date, claim.region, claim.service)
    return hmac.digest(key, text.encode("latin-1"), "sha256").hex()


def _canonical(sent: Sent, claim: Claim, body_digest: str) -> str:
    """Headers are text as WSGI has it, a character for each byte."""
    pairs = sorted(pair for pair in sent.parameters if pair[0] != "X-Amz-Signature" or claim.seconds is None)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = "".join(f"{name}:{' '.join((sent.header(name) or '').split())}\n" for name in claim.signed)
    return "\n".join(
        (sent.method, _path(sent.path, claim.service), query, headers, ";".join(claim.signed), body_digest)
    )


def _path(path: str, service: str) -> str:
    """S3's as it is, encoded once; the other services' normalized, with what is encoded encoded again."""
    if service == "s3":
        return quote(unquote_to_bytes(path.encode("latin-1")), safe="/" + SAFE) or "/"
    whole = "/" + normpath("/" + path).lstrip("/")
    if path.endswith("/") and whole != "/":
        whole += "/"
    return quote(whole.encode("latin-1"), safe="/" + SAFE)


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ").encode("latin-1")), safe=SAFE)


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Return the signing key of a day, Region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key
