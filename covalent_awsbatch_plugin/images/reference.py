# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The names of images: `python:3.11-slim`, `host:5000/team/base@sha256:...`.

The grammar is Docker's: https://pkg.go.dev/github.com/distribution/reference
"""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass, replace

from ..errors import SettingError

DOCKER_HUB = "docker.io"
_HUB_ALIASES = ("index.docker.io", "registry-1.docker.io")
_HUB_API = "registry-1.docker.io"
_DEFAULT_TAG = "latest"
_MAX_NAME = 255

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html; the endings are those of AWS's partitions.
# Nothing else may match: the login of one such registry is sent to the others of its partition.
_ECR_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr(?:\.ecr|\.ecr-fips|-ecr|-ecr-fips)\.(?P<region>[a-z0-9-]+)\."
    r"(?P<ending>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk"
    r"|csp\.hci\.ic\.gov|on\.aws|on\.amazonwebservices\.com\.cn)"
)

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class Reference:
    """An image in a repository of a registry; with a digest it always means the same image."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository, as `docker pull` takes them."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """Digest, or else the tag, as the registry's API takes it."""
        return self.digest or self.tag or _DEFAULT_TAG

    def at(self, digest: str) -> Reference:
        """Return the image named by digest alone: a pull by tag may return another manifest later."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@functools.cache
def api_host(registry: str) -> str:
    """Return the host of a registry's API: Docker Hub's images are named after another host."""
    return _HUB_API if registry == DOCKER_HUB else registry


@dataclass(frozen=True)
class EcrHost:
    """The parts of the host of an ECR registry. `china` tells the partition of China, whose logins are its own."""

    account: str
    region: str
    china: bool


def ecr_host(registry: str) -> EcrHost | None:
    """Return the parts of an ECR registry's host; None for any other registry."""
    match = _ECR_HOST.fullmatch(registry)
    return match and EcrHost(match["account"], match["region"], match["ending"].endswith(".cn"))


def shares_login(one: str, other: str) -> bool:
    """Return whether a login for one registry is good for another: ECR's are, for all registries of a partition.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
    """
    first, second = ecr_host(one), ecr_host(other)
    return one == other or (first is not None and second is not None and first.china == second.china)


@functools.cache
def is_loopback(host: str) -> bool:
    """Return whether a host (with or without port) is this machine: only there plain HTTP is allowed."""
    bare = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def parse(text: str, setting: str = "container_image_uri") -> Reference:
    """Return the image that `text` names. Raises SettingError, which names the setting, for a malformed name."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _malformed(text, setting, f"{digest!r} is not `sha256:` and 64 hexadecimal digits in lower case")
    registry, path = _split_registry(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _malformed(text, setting, f"{tag!r} is not a tag: letters, digits, `_`, `.`, `-`; at most 128 of them")
    if not _HOST.fullmatch(registry):
        raise _malformed(text, setting, f"{registry!r} is not a registry's host")
    _check_path(text, setting, registry, path)
    return Reference(registry, path, tag or (None if digest else _DEFAULT_TAG), digest or None)


def _split_registry(name: str) -> tuple[str, str]:
    """Split a name: a first component with a dot or a port, or `localhost`, is a host; else Docker Hub."""
    first, slash, path = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost"):
        first, path = DOCKER_HUB, name
    if first in _HUB_ALIASES:
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return first, path


def _check_path(text: str, setting: str, registry: str, path: str) -> None:
    if len(registry) + 1 + len(path) > _MAX_NAME:
        raise _malformed(text, setting, f"a name has at most {_MAX_NAME} characters")
    for component in path.split("/"):
        if component != component.lower():
            raise _malformed(text, setting, f"{component!r} must be in lower case")
        if not _COMPONENT.fullmatch(component):
            raise _malformed(text, setting, f"{component!r} must be letters and digits with `.`, `_` or `-` between")


def _malformed(text: str, setting: str, why: str) -> SettingError:
    return SettingError(
        f"The setting {setting}={text!r} is not the name of an image: {why}.",
        advice="Names of images look like `python:3.11-slim` or `host/repository@sha256:...`.",
    )
