# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Why an image could not be pulled, as far as the registry's words tell.

They lie in known ways: "denied" is also said of names that do not exist, "not found" of repositories one may not see.
The detail is what was said; the advice lists what it can mean.
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
    """An HTTP status that stands alone, not as a part of a digest, an address or a request's id."""
    return rf"(?<![\w.:/@-])({codes})(?![\w.:/@-]|\.\d)"


def _pull(detail: Detail, blame: Blame, retry: bool | None, advice: str) -> Verdict:
    return verdict(Cause.IMAGE_PULL, detail=detail, blame=blame, retry_may_help=retry, advice=advice)


_ALLOW = "Give the execution role (on EC2 also the instance's) `ecr:BatchGetImage` and its kin on that repository"
_EITHER_WAY = f"Check the image's name, tag and Region first, for a missing image is told the same way. {_ALLOW}."
_WAY_OUT = (
    "Give the machines a way to the registry: a public address, a NAT gateway, or VPC endpoints for ECR and S3;"
    " where others got through at the same time, run it again."
)
_INFRA, _CONFIG = Blame.INFRASTRUCTURE, Blame.CONFIGURATION

_RULES = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (
            r"no space left",
            _pull(Detail.DISK_FULL, _INFRA, True, "Give the machines a bigger disk, or fewer jobs and images at once."),
        ),
        (
            rf"toomanyrequests|too many requests|rate limit|rate exceeded|throttl|slow ?down|{_code('429')}",
            _pull(
                Detail.RATE_LIMITED, _INFRA, True,
                "Run it again later; keep a copy of the image in ECR, or log in to its registry, to be limited less.",
            ),
        ),
        # Docker says this one sentence of both: https://docs.docker.com/engine/reference/commandline/pull/
        (
            r"may require 'docker login'|pull access denied|no pull access",
            _pull(Detail.UNCLEAR, _CONFIG, False, _EITHER_WAY),
        ),
        (
            rf"denied|not authorized|unauthorized|forbidden|basic auth|authentication required|{_code('401|403')}",
            _pull(Detail.DENIED, _CONFIG, False, f"{_ALLOW}, or correct the image's name: it may be another's."),
        ),
        (
            r"context cancell?ed|device ?mapper|dm_task|invalid argument",
            _pull(Detail.UNCLEAR, _INFRA, True, "Run it again; a slow or full disk ends many pulls at once like this."),
        ),
        # ECS itself turned the tag into this digest once, so the image was there and the tag has moved since.
        (
            r":[\w.-]+@sha256:.*not found",
            _pull(Detail.NOT_FOUND, _INFRA, None, "The digest is gone from the repository: push it again, keep it."),
        ),
        (
            rf"no such host|connection refused|no route|unreachable|i/o ?timeout|dial tcp|x509|waiting for connection"
            rf"|connect(ion)? (issue|timed)|client\.timeout|{_code('407')}",
            _pull(Detail.NETWORK, _CONFIG, None, _WAY_OUT),
        ),
        (
            r"reset|eof\b|tls handshake|broken pipe|timed? ?out|deadline exceeded|send request failed"
            rf"|server error|bad gateway|unavailable|verification failed|{_code('50[0-4]')}",
            _pull(Detail.NETWORK, _INFRA, True, "Run it again; if it stays, look at the machines' way to it."),
        ),
        (
            rf"not found|unknown|does not exist|no such (image|manifest)|invalid ?(reference|image)|{_code('404')}",
            _pull(
                Detail.NOT_FOUND, _CONFIG, False,
                f"Check the image's name, tag and Region, and that it is pushed. {_ALLOW}: it is told the same way.",
            ),
        ),
    )
)  # fmt: skip


def pull_verdict(text: str) -> Verdict:
    """From the text in lower case."""
    return next((said for pattern, said in _RULES if pattern.search(text)), verdict(Cause.IMAGE_PULL))
