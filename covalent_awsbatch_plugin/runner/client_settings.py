# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The settings of the container's S3 client: from the job's own variables, whatever the base image's variables are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .protocol import layout

# ECS sets the first one for a task with a role; the others belong to the same endpoint:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
_ROLE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_ROLE_URL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_ROLE_TOKENS = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# The credentials endpoints of ECS, EKS and EC2, and this container: a proxy answers for another machine than this one.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/http_proxy_config.html
NEVER_PROXIED = (
    "169.254.170.2", "169.254.170.23", "169.254.169.254", "fd00:ec2::23", "fd00:ec2::254",
    "127.0.0.1", "localhost", "::1",
)  # fmt: skip
_NO_PROXY = ("NO_PROXY", "no_proxy")  # the client reads the first of them that is set

CA_FILE = "SSL_CERT_FILE"  # the client's own variable
_CA_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # of boto3, requests and curl


@dataclass(frozen=True)
class ClientSettings:
    """The place of the bucket, and the encryption of what is written; a value that is "" is not set."""

    region: str
    endpoint: str
    sse: str
    kms_key: str

    @classmethod
    def of(cls, env: Mapping[str, str]) -> ClientSettings:
        """Return the settings in the job's environment. Without a Region of the job, AWS's variables are read."""
        names = (layout.ENV_REGION, "AWS_REGION", "AWS_DEFAULT_REGION")
        return cls(
            region=next(filter(None, map(env.get, names)), ""),
            endpoint=env.get(layout.ENV_ENDPOINT, ""),
            sse=env.get(layout.ENV_SSE, ""),
            kms_key=env.get(layout.ENV_KMS_KEY, ""),
        )

    def config(self) -> dict[str, str]:
        """Return obstore's configuration."""
        values = {
            "region": self.region,
            "endpoint": self.endpoint,
            "server_side_encryption": self.sse,
            "sse_kms_key_id": self.kms_key,
        }
        return {name: value for name, value in values.items() if value}


@contextmanager
def only_own_variables() -> Iterator[None]:
    """Hide the base image's `AWS_*` variables while a client is made, which reads them then and not later.

    Credentials of the job role stay, and static keys where there is no role. Link-local addresses get no proxy.
    """
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(_for_the_client(before))
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _for_the_client(env: Mapping[str, str]) -> dict[str, str]:
    if env.get(_ROLE):
        credentials: tuple[str, ...] = (_ROLE,)  # ECS has set it; an URL may be the base image's
    else:
        credentials = (_ROLE_URL, *_ROLE_TOKENS) if env.get(_ROLE_URL) else _KEYS
    variables = {name: value for name, value in env.items() if not name.startswith("AWS_") or name in credentials}
    excluded = ",".join(filter(None, (next(filter(None, map(env.get, _NO_PROXY)), ""), *NEVER_PROXIED)))
    variables |= dict.fromkeys(_NO_PROXY, excluded)
    bundle = next((path for path in map(env.get, _CA_BUNDLES) if path and os.path.isfile(path)), None)
    if bundle and not env.get(CA_FILE):
        variables[CA_FILE] = bundle
    return variables


def proxy_of(message: str, env: Mapping[str, str]) -> str:
    """Return the variable that names the proxy of a failed request, "" where it needed none.

    `message` is the client's, in which the URL stands.
    """
    url = re.search(r"\b(https?)://([^/\s:]+|\[[^]]*\])", message)
    if url is None or url[2].strip("[]") in NEVER_PROXIED:
        return ""
    names = (f"{url[1].upper()}_PROXY", f"{url[1]}_proxy", "ALL_PROXY", "all_proxy")
    return next((name for name in names if env.get(name)), "")
