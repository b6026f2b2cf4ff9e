# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The checks of S3 that moto lacks: Region, owner, checksums, encryption, KMS keys, conditions of bucket policies.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html has the errors.
"""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5, sha1, sha256
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape
from zlib import crc32

from moto.iam.access_control import PermissionResult
from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.utilities.utils import get_partition

from .faults.responses import without_body_for_head
from .iam import enforcement
from .iam.required_actions import Need, s3_action
from .iam.signature import HttpRequest, NotAccepted, claim_of

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
SSE, KMS_KEY = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"
GLOBAL_REGION = "us-east-1"  # S3's global name leads to the bucket's Region, where this signature is not valid
_CHECKSUMS: Mapping[str, Callable[[bytes], bytes]] = {
    "Content-MD5": lambda body: md5(body, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": lambda body: crc32(body).to_bytes(4, "big"),
    "x-amz-checksum-sha1": lambda body: sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: sha256(body).digest(),
}


class Refusal(Exception):
    """S3's refusal of a request: `code` as in its error, `fields` are further elements, `headers` of the response."""

    def __init__(
        self, status: str, code: str, message: str, fields: Mapping[str, str] = {}, headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
        self.elements = {"Code": code, "Message": message, **fields}

    def response(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        """Return the response in S3's format."""
        start_response(self.status, [("Content-Type", "application/xml"), *self.headers.items()])
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in self.elements.items())
        return without_body_for_head(dict(environ), [f"<Error>{inner}</Error>".encode()])


@dataclass(frozen=True)
class S3Request:
    """A request for a bucket that exists, in path style. `region` is the signature's."""

    environ: dict[str, Any]
    account: str
    region: str
    bucket: FakeBucket
    key: str

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.environ.get("QUERY_STRING", ""), keep_blank_values=True)

    @property
    def writes(self) -> bool:
        """True for what makes an object or begins an upload in parts."""
        return bool(self.key) and (
            (self.method == "PUT" and "uploadId" not in self.query)
            or (self.method == "POST" and "uploads" in self.query)
        )

    @property
    def arn(self) -> str:
        """ARN of the object, or of the bucket."""
        return f"{self.bucket.arn}/{self.key}" if self.key else str(self.bucket.arn)

    def header(self, name: str) -> str:
        """Return a header, "" where the request has none."""
        plain = name.upper().replace("-", "_")
        return str(self.environ.get(plain if plain == "CONTENT_MD5" and plain in self.environ else f"HTTP_{plain}", ""))


def before_s3(account: str, region: str, app: Wsgi) -> Wsgi:
    """Return moto's application behind S3's checks. `region` is that of the offline AWS."""

    def checked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = _request(environ, account, region)
        if request is None:
            return app(environ, start_response)
        try:
            _check_place(request)
            _check_body(request)
            conditions = _conditions(request)
            _check_policy(request, conditions)
            _encrypt(request)
        except Refusal as refusal:
            return refusal.response(environ, start_response)
        token = enforcement.CONDITIONS.set(conditions)
        try:
            return app(environ, start_response)
        finally:
            enforcement.CONDITIONS.reset(token)

    return checked


def _request(environ: dict[str, Any], account: str, region: str) -> S3Request | None:
    headers = {name.removeprefix("HTTP_"): str(value) for name, value in environ.items() if name.startswith("HTTP_")}
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    try:
        claim = claim_of(HttpRequest(method, environ.get("PATH_INFO", ""), query, headers))
    except NotAccepted:
        return None
    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")  # WSGI has a character for a byte
    name, _, key = path.lstrip("/").partition("/")
    bucket = s3_backends[account][get_partition(region)].buckets.get(name)
    if claim.service != "s3" or bucket is None:
        return None
    return S3Request(environ, account, claim.region, bucket, key)


# ---- place and owner -------------------------------------------------------------------------------------------------
def _check_place(request: S3Request) -> None:
    there = request.bucket.region_name
    header = {"x-amz-bucket-region": there}
    if request.region == there:
        owner = request.header("x-amz-expected-bucket-owner")
        if owner not in ("", request.account):
            raise Refusal("403 Forbidden", "AccessDenied", "Access Denied")
        return
    if request.region == GLOBAL_REGION:
        message = f"The authorization header is malformed; the region '{request.region}' is wrong; expecting '{there}'"
        raise Refusal("400 Bad Request", "AuthorizationHeaderMalformed", message, {"Region": there}, header)
    message = "The bucket you are attempting to access must be addressed using the specified endpoint."
    endpoint = f"{request.bucket.name}.s3.{there}.amazonaws.com"
    fields = {"Endpoint": endpoint, "Bucket": request.bucket.name}
    raise Refusal("301 Moved Permanently", "PermanentRedirect", message, fields, header)


# ---- the body --------------------------------------------------------------------------------------------------------
def _check_body(request: S3Request) -> None:
    if "aws-chunked" in request.header("Content-Encoding") or request.method not in ("PUT", "POST"):
        return
    digests = {name: value for name in _CHECKSUMS if (value := request.header(name))}
    if not digests:
        return
    length = request.environ.get("CONTENT_LENGTH") or "0"
    body: bytes = request.environ["wsgi.input"].read(int(length))
    request.environ["wsgi.input"] = io.BytesIO(body)
    for name, value in digests.items():
        if b64encode(_CHECKSUMS[name](body)).decode() != value:
            message = f"The {name} you specified did not match the calculated checksum."
            raise Refusal("400 Bad Request", "BadDigest", message)


# ---- policies and encryption -----------------------------------------------------------------------------------------
def _conditions(request: S3Request) -> dict[str, str]:
    """Return the condition keys of a request. A part of an upload has the encryption that began the upload."""
    upload = request.bucket.multiparts.get((request.query.get("uploadId") or [""])[0], None)
    kind = upload.sse_encryption if upload else request.header(SSE)
    key = upload.kms_key_id if upload else request.header(KMS_KEY)
    values = {f"s3:{SSE}": kind, f"s3:{KMS_KEY}": _key_arn(request, key) or key if key else ""}
    return {name: str(value) for name, value in values.items() if value}


def _check_policy(request: S3Request, conditions: Mapping[str, str]) -> None:
    """Refuse what the bucket's policy denies. moto has the policy's other effects."""
    if request.bucket.policy is None:
        return
    action = s3_action(request.method, request.query, of_object=bool(request.key))
    statements = json.loads(request.bucket.policy)["Statement"]
    for each in statements if isinstance(statements, list) else [statements]:
        result = enforcement.of_statement(each, action, request.arn, enforcement.SECURE | dict(conditions))
        if result == PermissionResult.DENIED:
            who = _caller(request)
            message = (
                f"User: {who.arn if who else 'anonymous'} is not authorized to perform: {action} on resource: "
                f'"{request.arn}" with an explicit deny in a resource-based policy'
            )
            raise Refusal("403 Forbidden", "AccessDenied", message)


def _encrypt(request: S3Request) -> None:
    """Add the bucket's default encryption to a write; check that the KMS key exists and may be used."""
    if request.writes:
        kind, key = request.header(SSE), request.header(KMS_KEY)
        if not kind and not key:
            kind, key = _default(request.bucket)
        if key and not kind.startswith("aws:kms"):
            message = "The encryption method specified is not supported with a KMS key."
            raise Refusal("400 Bad Request", "InvalidArgument", message)
        if key:
            key = _usable(request, key, "kms:GenerateDataKey")
        _set(request.environ, SSE, kind)
        _set(request.environ, KMS_KEY, key)
    elif request.key and request.method == "GET":
        stored = request.bucket.keys.get(request.key)
        if stored is not None and stored.kms_key_id:
            _usable(request, stored.kms_key_id, "kms:Decrypt")


def _default(bucket: FakeBucket) -> tuple[str, str]:
    rule = ((bucket.encryption or {}).get("Rule") or {}).get("ApplyServerSideEncryptionByDefault") or {}
    key = rule.get("KMSMasterKeyID") or ""
    return rule.get("SSEAlgorithm") or "AES256", "" if key == "alias/aws/s3" else key


def _set(environ: dict[str, Any], name: str, value: str) -> None:
    if value:
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value


def _key_arn(request: S3Request, key: str) -> str:
    """Return the ARN of a key that is named by ID, ARN or alias; "" where there is none in the bucket's Region."""
    backend = kms_backends[request.account][request.bucket.region_name]
    stored_key = backend.keys.get(backend.any_id_to_key_id(key))
    return str(stored_key.arn) if stored_key else ""


def _usable(request: S3Request, key: str, action: str) -> str:
    arn = _key_arn(request, key)
    if not arn or (key.startswith("arn:") and ":key/" in key and key != arn):
        raise Refusal("400 Bad Request", "KMS.NotFoundException", f"Key '{key}' does not exist")
    guard, who = enforcement.Guard.current, _caller(request)
    need = Need(action, arn)
    if guard is not None and (who is None or not guard.allows(who, need)):
        message = enforcement.denial(who, need) if who else "Access Denied"
        raise Refusal("403 Forbidden", "AccessDenied", message)
    return arn


def _caller(request: S3Request) -> enforcement.Principal | None:
    names = ("Authorization", "X-Amz-Security-Token")
    return enforcement.caller(request.account, {name: request.header(name) for name in names if request.header(name)})
