# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What names of images mean, and which are none."""

from __future__ import annotations

import pytest

from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.images.reference import Reference, api_host, is_loopback, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("python:3.11-slim", "docker.io", "library/python", "3.11-slim", None),
        ("python", "docker.io", "library/python", "latest", None),
        ("me/base", "docker.io", "me/base", "latest", None),
        ("docker.io/python:3", "docker.io", "library/python", "3", None),
        ("index.docker.io/me/base", "docker.io", "me/base", "latest", None),
        (
            "public.ecr.aws/docker/library/python:3.11-slim",
            "public.ecr.aws",
            "docker/library/python",
            "3.11-slim",
            None,
        ),
        ("1234.dkr.ecr.eu-west-1.amazonaws.com/tasks:a", "1234.dkr.ecr.eu-west-1.amazonaws.com", "tasks", "a", None),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000", "a/b", "latest", None),
        ("localhost/a", "localhost", "a", "latest", None),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", None),
        (f"host:1/a@{DIGEST}", "host:1", "a", None, DIGEST),
        (f"host:1/a:tag@{DIGEST}", "host:1", "a", "tag", DIGEST),
        ("a__b/c-d.e", "docker.io", "a__b/c-d.e", "latest", None),
    ],
)
def test_a_name_is_read_as_docker_reads_it(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    reference = parse(text)
    assert reference == Reference(registry, repository, tag, digest)
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "letters and digits"),
        ("Python:3.11", "'Python' must be in lower case"),
        ("host.example/Team/base", "'Team' must be in lower case"),
        ("python:3.11:4", "is not a tag"),
        ("python:", "'' is not a tag"),
        (f"python:{'t' * 129}", "is not a tag"),
        ("python@sha256:abc", "'sha256:abc' is not"),
        ("python@", "'' is not"),
        ("https://host/python", "'https:' is not a registry's host"),
        ("host.example//python", "letters and digits"),
        ("host.example/python/", "letters and digits"),
        ("py thon", "'py thon' must be letters"),
        ("-python", "'-python' must be letters"),
        ("a_-b", "must be letters"),
        (f"host.example/{'a' * 250}", "at most 255"),
    ],
)
def test_what_is_no_name_is_told_why(text: str, why: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(text)
    assert f"The setting container_image_uri={text!r} is not" in str(caught.value)
    assert why in str(caught.value)


def test_a_digest_goes_before_a_tag() -> None:
    assert parse(f"python:3@{DIGEST}").version == DIGEST
    assert parse("python:3").version == "3"
    assert str(parse("python:3").at(DIGEST)) == f"docker.io/library/python@{DIGEST}"


def test_docker_hub_is_asked_at_another_host() -> None:
    assert api_host("docker.io") == "registry-1.docker.io"
    assert api_host("public.ecr.aws") == "public.ecr.aws"


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.3.4.5:80", "[::1]", "[::1]:5000"])
def test_this_machine_may_speak_plain_http(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost.example", "128.0.0.1", "10.0.0.1:5000", "example", "127.0.0.1.example", "[fe80::1]"]
)
def test_no_other_machine_may(host: str) -> None:
    assert not is_loopback(host)
