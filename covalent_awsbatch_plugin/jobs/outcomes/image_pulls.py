# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Classify a failed image pull by the registry's words.

Registries are known to be inexact: "denied" is also the answer for names that do not exist, "not found" for
repositories without permission. The detail is the answer; the advice lists its possible meanings.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
"""

from __future__ import annotations

import re

from .causes import Blame, Cause, Detail, Verdict, verdict

# The name that AWS gives (CannotPullContainerError, CannotPullECRContainerError, CannotPullImageManifestError; on EKS
# the kubelet's), or, where the record has lost it, the puller's own words.
IS_A_PULL = re.compile(
    r"cannotpull|imagepull|errimage|invalidimagename|pull access denied|manifest unknown"
    r"|(pull image manifest|inspect image|ref pull|image pull) has been retried"
    r"|failed to (resolve ref|pull\b|copy: http)"
    r"|manifest for \S* ?\S* not found"
)


def _code(codes: str) -> str:
    """Return a pattern of an HTTP status that is not a part of a digest, an address or a request id."""
    return rf"(?<![\w.:/@-])({codes})(?![\w.:/@-]|\.\d)"


def _pull(detail: Detail, blame: Blame, retry: bool | None, advice: str) -> Verdict:
    return verdict(Cause.IMAGE_PULL, detail=detail, blame=blame, retry_may_help=retry, advice=advice)


_ALLOW = (
    "Give the execution role (on EC2 also the instance's) `ecr:BatchGetImage` and `ecr:GetDownloadUrlForLayer` on the"
    " repository"
)
_EITHER_WAY = f"Check the image's name, tag and Region first: the answer for a missing image is the same. {_ALLOW}."
_WAY_OUT = (
    "Give the instances a route to the registry: a public address, a NAT gateway, or VPC endpoints for ECR and S3;"
    " if other jobs reached it at the same time, run it again."
)
_INFRA, _CONFIG = Blame.INFRASTRUCTURE, Blame.CONFIGURATION

_RULES = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (
            r"no space left",
            _pull(Detail.DISK_FULL, _INFRA, True, "Give the instances a bigger disk, or run fewer jobs and images at"
                                                  " once."),
        ),
        (
            rf"toomanyrequests|too many requests|rate limit|rate exceeded|throttl|slow ?down|{_code('429')}",
            _pull(
                Detail.RATE_LIMITED, _INFRA, True,
                "Run it again later. A copy of the image in ECR, or a login to its registry, raises the limit.",
            ),
        ),
        # Docker answers both with this sentence: https://docs.docker.com/engine/reference/commandline/pull/
        (
            r"may require 'docker login'|pull access denied|no pull access",
            _pull(Detail.UNCLEAR, _CONFIG, False, _EITHER_WAY),
        ),
        (
            rf"denied|not authorized|unauthorized|forbidden|basic auth|authentication required|{_code('401|403')}",
            _pull(Detail.DENIED, _CONFIG, False, f"{_ALLOW}, or correct the image's name: it may belong to another"
                                                 f" account."),
        ),
        (
            r"context cancell?ed|device ?mapper|dm_task|invalid argument",
            _pull(Detail.UNCLEAR, _INFRA, True, "Run it again; a slow or full disk fails many pulls at once."),
        ),
        # ECS itself turned the tag into this digest once, so the image was there and the tag has moved since.
        (
            r":[\w.-]+@sha256:.*not found",
            _pull(Detail.NOT_FOUND, _INFRA, None, "The digest was deleted from the repository: push it again and keep"
                                                  " it."),
        ),
        (
            rf"no such host|connection refused|no route|unreachable|i/o ?timeout|dial tcp|x509|waiting for connection"
            rf"|connect(ion)? (issue|timed)|client\.timeout|{_code('407')}",
            _pull(Detail.NETWORK, _CONFIG, None, _WAY_OUT),
        ),
        (
            r"reset|eof\b|tls handshake|broken pipe|timed? ?out|deadline exceeded|send request failed"
            rf"|server error|bad gateway|unavailable|verification failed|{_code('50[0-4]')}",
            _pull(Detail.NETWORK, _INFRA, True, "Run it again; if it fails again, check the instances' route to it."),
        ),
        (
            rf"not found|unknown|does not exist|no such (image|manifest)|invalid ?(reference|image)|{_code('404')}",
            _pull(
                Detail.NOT_FOUND, _CONFIG, False,
                f"Check the image's name, tag and Region, and that it is pushed. {_ALLOW}: without them, the answer"
                " is the same.",
            ),
        ),
    )
)  # fmt: skip


def pull_verdict(text: str) -> Verdict:
    """Return the verdict on a failed pull from its reason in lower case."""
    return next((meaning for pattern, meaning in _RULES if pattern.search(text)), verdict(Cause.IMAGE_PULL))
