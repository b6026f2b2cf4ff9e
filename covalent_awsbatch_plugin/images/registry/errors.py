# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Translate a registry's error responses into this package's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import NotAllowed, NotAuthenticated, NotFound, Refused, ServiceError, Throttled, Unreachable
from ...iam import remedy

_PULL_ACTIONS = "`ecr:BatchGetImage` and `ecr:GetDownloadUrlForLayer`"
_PUSH_ACTIONS = (
    "`ecr:BatchCheckLayerAvailability`, `ecr:InitiateLayerUpload`, `ecr:UploadLayerPart`, "
    "`ecr:CompleteLayerUpload` and `ecr:PutImage`"
)
_MISSING_BLOB = ("BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "LayersNotFound")


class MissingBlobs(Refused):
    """The manifest names a blob that the repository no longer has."""


@dataclass(frozen=True)
class About:
    """The purpose of a request: `subject` is an image to pull, or a repository to push to."""

    registry: str
    subject: str
    push: bool
    login: bool


def error_of(status: int, body: bytes, about: About) -> ServiceError:
    """Return the error for a response with this status."""
    says = _words(status, body)
    expired = status in (400, 403) and "token has expired" in says  # ECR says so by 403, not by 401
    if status == 401 or expired:
        return _not_authenticated(about, says)
    match status:
        case 403:
            return _not_allowed(about, says)
        case 404 if not (about.push and any(code in says for code in _MISSING_BLOB)):
            return _not_found(about, says)
        case 429:
            happened = f"The registry {about.registry} throttled {_deed(about)}."
            return Throttled(happened, says=says, advice=_later(about))
        case 408 | 500 | 502 | 503 | 504:
            happened = f"The registry {about.registry} failed to answer {_deed(about)}."
            return Unreachable(happened, says=says, advice="Try again later.")
    missing = any(code in says for code in _MISSING_BLOB)
    kind = MissingBlobs if missing else Refused
    return kind(f"The registry {about.registry} refused {_deed(about)}.", says=says)


def retry_after_s(status: int, headers: Mapping[str, str]) -> float:
    """Return the seconds to wait that the response asks for, or 0.

    Retry-After may also be a date; no registry sends one.
    """
    seconds = headers.get("Retry-After", "").strip()
    return float(seconds) if status in (429, 503) and seconds.isascii() and seconds.isdigit() else 0


def too_long(about: About, most: int) -> Refused:
    """Return the error for a response with more than `most` bytes."""
    happened = f"The registry {about.registry} sent more than the {most:,} bytes that {_deed(about)} may have."
    return Refused(happened, advice="Check the registry's name, and for a proxy that changes its responses.")


def too_slow(about: About, size: int) -> Unreachable:
    """Return the error for a response that would take for ever."""
    happened = f"The registry {about.registry} sent only {size:,} bytes in minutes for {_deed(about)}."
    return Unreachable(happened, advice="Check the network and the proxy settings, then try again.")


def unreachable(about: About, error: BaseException) -> ServiceError:
    """Return the error for a request without a response."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Refused(
            f"The certificate of the registry {about.registry} is not trusted.",
            says=str(error),
            advice="If a proxy or the registry has a certificate of your organization, set AWS_CA_BUNDLE (or"
            " REQUESTS_CA_BUNDLE) to a file with its CA.",
        )
    return Unreachable(
        f"The registry {about.registry} could not be reached for {_deed(about)}.",
        says=f"{type(error).__name__}: {error}".rstrip(": "),
        advice="Check the network, the proxy settings and the registry's name.",
    )


def _deed(about: About) -> str:
    return f"a push to {about.subject}" if about.push else f"a pull of {about.subject}"


def _not_authenticated(about: About, says: str) -> NotAuthenticated:
    if about.login:
        happened = f"The registry {about.registry} did not accept the login for {_deed(about)}."
        return NotAuthenticated(
            happened, says=says, advice="Log in again: the login may have expired, or belong to another registry."
        )
    return NotAuthenticated(
        f"The registry {about.registry} requires a login for {_deed(about)}.",
        says=says,
        advice="Check the image's name: many registries answer so for an image that does not exist. For a private"
        f" image run `docker login {about.registry}` on the machine of the Covalent server.",
    )


def _not_allowed(about: About, says: str) -> NotAllowed:
    actions = _PUSH_ACTIONS if about.push else _PULL_ACTIONS
    return NotAllowed(
        f"The registry {about.registry} does not allow {_deed(about)}.",
        says=says,
        advice=f"For an ECR repository, grant your credentials {actions} on it{remedy('ecr:PutImage')}.",
    )


def _not_found(about: About, says: str) -> NotFound:
    if about.push:
        advice = "Create the repository, or correct `ecr_repo_name`."
        return NotFound(f"The repository {about.subject} does not exist.", says=says, advice=advice)
    return NotFound(
        f"The image {about.subject} does not exist.", says=says, advice="Correct the base image's name or tag."
    )


def _later(about: About) -> str:
    if about.push or about.login:
        return "Try again later, or ask AWS for a higher quota of the ECR API."
    return "Try again later, or copy the base image to your own repository: public registries limit anonymous pulls."


def _words(status: int, body: bytes) -> str:
    """Return the registry's own words; a HEAD response has none, so its status stands in."""
    try:
        errors = json.loads(body)["errors"]
        return "; ".join(f"{error['code']}: {error.get('message', '')}".rstrip(": ") for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = " ".join(body.decode(errors="replace").split())[:300]
        return f"HTTP {status}{f': {text}' if text else ''}"
