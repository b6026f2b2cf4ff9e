# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Translate botocore's errors into this package's: what failed, AWS's words, what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import botocore.exceptions as says
from aiohttp import ClientError
from botocore.parsers import ResponseParserError

from .. import errors
from ..iam import remedy
from .sign_in import needs_code

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_CREDENTIALS = {
    "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure",
    "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "InvalidToken",
}  # fmt: skip
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403", "AllAccessDisabled"}
_MISSING = {
    "NoSuchBucket", "NoSuchKey", "NotFound", "404", "RepositoryNotFoundException", "NoSuchEntity",
    "ImageNotFoundException", "ResourceNotFoundException",
}  # fmt: skip
_THROTTLED = {
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
    "RequestThrottled", "BandwidthLimitExceeded",
}  # fmt: skip

# An upload in parts that S3 completed with an answer that was lost is no upload any more: it is sent anew.
_PASSING = {"NoSuchUpload", "OperationAborted", "RequestTimeout"}

# AWS accepts 5 minutes, S3 15: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
_SKEW_SECONDS = {"s3": 880, "": 280}
CLOCK_PATIENCE_SECONDS = 60.0  # a machine that has just woken up sets its clock within this time

_NAMED = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")

# Operations whose permission has another name:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_PERMISSION = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
}

_LOG_IN = "Run `aws configure` or `aws sso login`, or set `profile` or `credentials`."
# No whole answer came. botocore has two families of such errors, and one for a body in no format of AWS's (a load
# balancer's text, a captive portal's page); aiohttp raises its own while a body is read.
NO_ANSWER = (
    says.HTTPClientError, says.ConnectionError, says.IncompleteReadError, ResponseParserError, ClientError, OSError,
)  # fmt: skip
_NETWORKS_OWN = (ConnectionError, TimeoutError, socket.gaierror, ClientError)  # OSErrors that no file has
_MACHINES_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EROFS, errno.EIO}
_FILES_OWN = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

# The members that an answer must have: those that this package reads, and S3's proof that an object is stored.
_MEMBERS = {
    "CompleteMultipartUpload": ("ETag",), "CreateMultipartUpload": ("UploadId",),
    "DescribeComputeEnvironments": ("computeEnvironments",), "DescribeImages": ("imageDetails",),
    "DescribeJobDefinitions": ("jobDefinitions",), "DescribeJobQueues": ("jobQueues",), "DescribeJobs": ("jobs",),
    "DescribeLogGroups": ("logGroups",), "DescribeRepositories": ("repositories",),
    "GetAuthorizationToken": ("authorizationData",), "GetCallerIdentity": ("Account", "Arn"),
    "GetLogEvents": ("events",), "GetObject": ("ETag",), "GetRole": ("Role",), "HeadObject": ("ETag",),
    "ListJobs": ("jobSummaryList",), "ListObjectsV2": ("Name",), "PutObject": ("ETag",),
    "RegisterJobDefinition": ("jobDefinitionArn",), "SubmitJob": ("jobId",), "UploadPart": ("ETag",),
}  # fmt: skip
_NO_CREDENTIALS = (says.NoCredentialsError, says.PartialCredentialsError, says.CredentialRetrievalError)


@contextlib.contextmanager
def translated(action: str, of: str) -> Iterator[None]:
    """Translate botocore's errors into this package's.

    `action` is service:Operation, `of` names the resource.
    """
    try:
        yield
    except says.ClientError as error:
        raise _from_answer(error, action, of) from error
    except says.BotoCoreError as error:
        raise _from_botocore(error, action, of) from error
    except NO_ANSWER as error:
        raise _on_this_machine(error) or _no_answer(error, action, of) from error


def _on_this_machine(error: BaseException) -> errors.AWSBatchError | None:
    """Return the error for a file, a program or a limit of this machine; None for an error of the network.

    Both are OSErrors. botocore starts the program of `credential_process` and opens the files that the AWS profile and
    the environment name; Python's ssl does not say which file it could not open.
    """
    if isinstance(error, says.HTTPClientError):
        error = error.kwargs.get("error") or error
    if not isinstance(error, OSError) or isinstance(error, _NETWORKS_OWN):
        return None
    reason = error.strerror or str(error)
    if isinstance(error.filename, str | bytes):
        return errors.SettingError(
            f"The AWS profile or the environment names `{os.fsdecode(error.filename)}`, which can't be used: {reason}.",
            advice="Correct its path or its permissions, for example of `credential_process` in the AWS config file.",
        )
    if isinstance(error, _FILES_OWN):
        return errors.SettingError(
            f"A file that the AWS profile or the environment names can't be used: {reason}.",
            advice="Correct the path of the certificates: `AWS_CA_BUNDLE`, or `ca_bundle` in the AWS config file.",
        )
    if error.errno in _MACHINES_OWN:
        return errors.ServiceError(
            f"The request could not be sent because of this machine: {reason}.",
            advice="Free memory or disk space, or raise the limit of open files (`ulimit -n`).",
        )
    return None


def _from_botocore(error: says.BotoCoreError, action: str, of: str) -> errors.AWSBatchError:
    """Return the error for what botocore itself raised, before or instead of an answer."""
    text = str(error)
    if isinstance(error, _NO_CREDENTIALS):
        happened = f"No AWS credentials were found for a request about {of}."
        return errors.NotAuthenticated(happened, says=text, advice=_LOG_IN)
    if isinstance(error, says.RefreshWithMFAUnsupportedError):
        return needs_code("", text)
    if isinstance(error, says.SSOError | says.TokenRetrievalError):
        advice = "Run `aws sso login` for this profile."
        return errors.NotAuthenticated("The AWS sign-in has expired.", says=text, advice=advice)
    if isinstance(error, says.NoRegionError):
        advice = "Set `region`, a Region of the profile, or AWS_REGION."
        return errors.SettingError("No AWS Region is set.", advice=advice)
    if isinstance(error, says.InvalidRegionError):
        happened = "The value of region is not the name of an AWS Region."
        return errors.SettingError(happened, says=text, advice="Set one like eu-west-1.")
    if isinstance(error, says.ProfileNotFound):
        advice = "Correct `profile`, or add it with `aws configure --profile NAME`."
        return errors.SettingError(f"{text.rstrip('.')}.", advice=advice)
    if isinstance(error, says.ConfigParseError):
        advice = "Correct that file: it must have [profile] headings and `name = value` lines."
        return errors.SettingError("The AWS config or credentials file can't be read.", says=text, advice=advice)
    if isinstance(error, NO_ANSWER) and not _is_defect(error):
        return _on_this_machine(error) or _no_answer(error, action, of)
    return errors.Refused(f"The request to AWS about {of} could not be sent.", says=text)


def _is_defect(error: says.BotoCoreError) -> bool:
    """Return whether sending failed for a reason that no service and no network has: a repetition can't help."""
    cause = error.kwargs.get("error") if type(error) is says.HTTPClientError else None
    return isinstance(cause, Warning | TypeError | AttributeError | AssertionError | RuntimeError)


def _no_answer(error: BaseException, action: str, of: str) -> errors.ServiceError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return errors.Refused(
            f"The certificate that answered {action} for {of} is not trusted.",
            says=str(error),
            advice="If a proxy or an endpoint has a certificate of your organization, set AWS_CA_BUNDLE to a file with"
            " its CA.",
        )
    return errors.Unreachable(
        f"AWS did not answer {action} for {of}.",
        says=str(error) or type(error).__name__,
        advice="Check the network and the setting `region`.",
    )


def check_body(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    """Raise ResponseParserError for a body that botocore's parsers would fail on, or take for an empty answer.

    botocore calls this, as `before-parse`, for each response.
    """
    body = response_dict["body"]
    if response_dict["status_code"] >= 300 or not isinstance(body, bytes):  # an object's body is a stream
        return
    first = body.lstrip()[:1]
    if "json" in operation_model.service_model.resolved_protocol:
        is_format = first in (b"{", b"")
    else:
        wrapper = operation_model.output_shape and operation_model.output_shape.serialization.get("resultWrapper")
        is_format = first in (b"<", b"") and (not wrapper or wrapper.encode() in body)
    if not is_format:
        raise _another_answer(operation_model.name, " ".join(body.decode(errors="replace").split()))


def check_answer(model: Any, parsed: Mapping[str, Any], http_response: Any, **_: Any) -> None:
    """Raise ResponseParserError for a success that is not AWS's, such as a captive portal's.

    An answer must have the members that are read of it. One without members must have the id that AWS gives each
    request: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTCommonResponseHeaders.html. botocore calls this, as
    `after-call`, for each response.
    """
    if http_response.status_code >= 300:
        return
    members = _MEMBERS.get(model.name)
    if members:
        is_whole = all(parsed.get(name) is not None for name in members)
    else:
        is_whole = bool(parsed["ResponseMetadata"].get("RequestId")) or len(parsed) > 1
    if not is_whole:
        raise _another_answer(model.name, parsed["ResponseMetadata"]["HTTPHeaders"].get("content-type", "no type"))


def _another_answer(operation: str, text: str) -> ResponseParserError:
    return ResponseParserError(f"The answer to {operation} is not one of AWS ({text[:100]}).")


def is_throttle(answer: Mapping[str, Any]) -> bool:
    """Return whether AWS refused a request because of its rate limit."""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return answer.get("Error", {}).get("Code") in _THROTTLED or status == 429


def _permission(action: str, message: str) -> str:
    """Return the permission that AWS denies; it may differ from the action, for example iam:PassRole."""
    match = _NAMED.search(message)
    return match[1] if match else _PERMISSION.get(action, action)


def _to_allow(permission: str, action: str, message: str) -> str:
    """Return what to do where AWS denies an action with this message, for lack of a permission."""
    if action.startswith("s3:") and "resource-based policy" in message:
        return (
            "Look at the bucket's policy, which denies it. If the policy demands encryption, set `sse` or `kms_key`"
            " as it says."
        )
    of = "the KMS key (`kms_key`)" if permission.startswith("kms:") else "it"
    return f"Grant `{permission}` on {of} to the user or role of the Covalent server{remedy(permission)}."


def _minutes_off(answer: Mapping[str, Any], accepted: float) -> int:
    """Return by how many minutes this machine's clock differs from the service's; 0 for less than AWS accepts."""
    try:
        there = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        seconds = (datetime.now(UTC) - there).total_seconds()
    except (KeyError, TypeError, ValueError):
        return 0
    return round(seconds / 60) if abs(seconds) > accepted else 0


def _wrong_clock(minutes: int, words: str) -> errors.ServiceError:
    """Return the error for a request whose signature has a time that AWS refuses, whatever code the service has."""
    error = errors.Unreachable(
        f"This machine's clock is {abs(minutes)} minutes {'ahead of' if minutes > 0 else 'behind'} AWS's, so AWS"
        " refuses its requests.",
        says=words,
        advice="Set the clock, for example with NTP.",
    )
    error.worth_seconds = CLOCK_PATIENCE_SECONDS
    return error


def listed_error(failure: Mapping[str, Any], action: str, of: str) -> errors.ServiceError:
    """Return the error for an item in the list of failures of an answer with status 200."""
    fields = {"Code": str(failure.get("Code", "")), "Message": str(failure.get("Message", ""))}
    return _from_answer(says.ClientError({"Error": fields}, action), action, of)


def _from_answer(error: says.ClientError, action: str, of: str) -> errors.ServiceError:
    answer: Mapping[str, Any] = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    message = str(answer.get("Error", {}).get("Message", "")).strip()
    words = f"AWS says: {code}: {message}" if message else f"AWS says: {code}"
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status in (400, 403) and (minutes := _minutes_off(answer, _SKEW_SECONDS["s3" if action[:3] == "s3:" else ""])):
        return _wrong_clock(minutes, words)
    if code in _EXPIRED:
        return errors.NotAuthenticated("The AWS credentials have expired.", says=words, advice=_LOG_IN)
    if code in _UNKNOWN_CREDENTIALS:
        return errors.NotAuthenticated("AWS does not accept the credentials.", says=words, advice=_LOG_IN)
    if code in _DENIED:
        denial = errors.NotAllowed(f"AWS does not allow {action} on {of}.", says=words)
        denial.permission = _permission(action, message)
        denial.advice = _to_allow(denial.permission, action, message)
        return denial
    if code.startswith("KMS."):
        advice = "Correct `kms_key`: an enabled key in the bucket's Region."
        return errors.Refused(f"AWS can't use the KMS key of {of}.", says=words, advice=advice)
    if code in _MISSING:
        advice = "Correct its name in the settings."
        return errors.NotFound(f"AWS did not find {of}.", says=words, advice=advice)
    if is_throttle(answer):
        return errors.Throttled(f"AWS throttled {action} for {of}.", says=words, advice="Try again later.")
    if status >= 500 or code in _PASSING:
        return errors.Unreachable(f"AWS failed to answer {action} for {of}.", says=words, advice="Try again later.")
    # S3 answers HEAD without a message, and with 400 for an expired token.
    advice = f"If the credentials have expired: {_LOG_IN}" if code == "400" else ""
    return errors.Refused(f"AWS refused {action} for {of}.", says=words, advice=advice)
