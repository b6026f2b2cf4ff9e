# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The registry behind ECR: what the distribution specification asks, and what ECR's API tells of it."""

from __future__ import annotations

import hashlib
import subprocess
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from botocore.exceptions import ClientError

from tests.local.small_world import MANIFEST, Registry, World

LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
NOBODY = "sha256:" + "0" * 64


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def code(answer: requests.Response) -> str:
    found: str = answer.json()["errors"][0]["code"]
    return found


@pytest.fixture
def registry(world: World) -> Registry:
    return world.registry()


@pytest.fixture
def repository(world: World) -> str:
    name = f"tests/{uuid4().hex[:8]}"
    told = world.client("ecr").create_repository(repositoryName=name)["repository"]
    assert told["repositoryUri"] == f"{world.aws.registry}/{name}"
    return name


def manifest(registry: Registry, repository: str, media_type: str = MANIFEST) -> dict[str, Any]:
    """Of an image of its own; its blobs are in the repository."""
    config = registry.push_blob(repository, b'{"nonce": "%s"}' % uuid4().hex.encode())
    layer = registry.push_blob(repository, b"no real layer")
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json"} | config,
        "layers": [{"mediaType": LAYER} | layer],
    }


def test_registry_accepts_only_a_login_of_ecr(world: World, registry: Registry) -> None:
    (told,) = world.client("ecr").get_authorization_token()["authorizationData"]
    assert told["proxyEndpoint"] == f"http://{world.aws.registry}"
    left = told["expiresAt"] - datetime.now(UTC)
    assert timedelta(hours=11.9) < left < timedelta(hours=12.1)
    assert b64decode(told["authorizationToken"]).startswith(b"AWS:")
    assert registry.call("GET", "").status_code == 200
    for login in ({}, {"Authorization": "Basic QVdTOm5v"}, {"Authorization": "Bearer x"}):
        answer = requests.get(f"{registry.url}/v2/", headers=login, timeout=10)
        assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_a_repository_is_there_when_ecr_says_so(world: World, registry: Registry) -> None:
    for method, path in (("POST", "nowhere/blobs/uploads/"), ("GET", "nowhere/manifests/latest")):
        answer = registry.call(method, path)
        assert (answer.status_code, code(answer)) == (404, "NAME_UNKNOWN")


def test_a_blob_goes_in_by_one_put_and_out_again(registry: Registry, repository: str) -> None:
    data = b"0123456789" * 300_000
    digest = registry.push_blob(repository, data)["digest"]
    head = registry.call("HEAD", f"{repository}/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(data)))
    assert head.headers["Docker-Content-Digest"] == digest
    assert registry.call("GET", f"{repository}/blobs/{digest}").content == data
    part = registry.call("GET", f"{repository}/blobs/{digest}", headers={"Range": "bytes=3-5"})
    assert (part.status_code, part.content) == (206, b"345")
    assert registry.call("HEAD", f"{repository}/blobs/{NOBODY}").status_code == 404


def test_a_blob_goes_in_by_patches_in_order(registry: Registry, repository: str) -> None:
    location = registry.url + registry.call("POST", f"{repository}/blobs/uploads/").headers["Location"]
    first = registry.call("PATCH", location, data=b"abc", headers={"Content-Range": "0-2"})
    assert (first.status_code, first.headers["Range"]) == (202, "0-2")
    assert registry.call("PATCH", location, data=b"x", headers={"Content-Range": "7-7"}).status_code == 416
    assert registry.call("PATCH", location, data=b"def").headers["Range"] == "0-5"
    assert registry.call("GET", location).status_code == 204
    assert registry.call("PUT", location, params={"digest": sha256(b"abcdef!")}, data=b"!").status_code == 201
    assert registry.call("PUT", location, params={"digest": sha256(b"abcdef!")}).status_code == 404


@pytest.mark.parametrize(("data", "digest"), [(b"", sha256(b"")), (b"some", NOBODY), (b"some", "md5:1")])
def test_a_blob_that_is_empty_or_another_is_refused(
    registry: Registry, repository: str, data: bytes, digest: str
) -> None:
    location = registry.url + registry.call("POST", f"{repository}/blobs/uploads/").headers["Location"]
    answer = registry.call("PUT", location, params={"digest": digest}, data=data)
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")


def test_a_blob_is_mounted_where_an_image_of_the_source_names_it(
    world: World, registry: Registry, repository: str
) -> None:
    told = manifest(registry, repository)
    digest, target = told["layers"][0]["digest"], world.settings["ecr_repo_name"]
    ask = {"mount": digest, "from": repository}
    assert registry.call("POST", f"{target}/blobs/uploads/", params=ask).status_code == 202
    assert registry.put_manifest(repository, "latest", told).status_code == 201
    mounted = registry.call("POST", f"{target}/blobs/uploads/", params=ask)
    assert (mounted.status_code, mounted.headers["Docker-Content-Digest"]) == (201, digest)
    assert registry.call("HEAD", f"{target}/blobs/{digest}").status_code == 200
    ask["from"] = "nowhere"
    assert registry.call("POST", f"{target}/blobs/uploads/", params=ask).status_code == 202


@pytest.mark.parametrize("media_type", [MANIFEST, OCI])
def test_a_manifest_is_found_by_tag_and_digest_as_it_was_sent(
    registry: Registry, repository: str, media_type: str
) -> None:
    put = registry.put_manifest(repository, "latest", manifest(registry, repository, media_type))
    digest = put.headers["Docker-Content-Digest"]
    for reference in ("latest", digest):
        got = registry.call("GET", f"{repository}/manifests/{reference}")
        assert (got.headers["Content-Type"], got.headers["Docker-Content-Digest"]) == (media_type, digest)
        assert sha256(got.content) == digest
        head = registry.call("HEAD", f"{repository}/manifests/{reference}")
        assert (head.content, head.headers["Content-Length"]) == (b"", str(len(got.content)))
    assert registry.call("GET", f"{repository}/tags/list").json() == {"name": repository, "tags": ["latest"]}
    assert code(registry.call("GET", f"{repository}/manifests/other")) == "MANIFEST_UNKNOWN"


def test_a_manifest_must_name_what_is_there(registry: Registry, repository: str) -> None:
    told = manifest(registry, repository)
    told["layers"].append({"mediaType": LAYER, "digest": NOBODY, "size": 1})
    assert code(registry.put_manifest(repository, "latest", told)) == "MANIFEST_BLOB_UNKNOWN"
    assert code(registry.put_manifest(repository, NOBODY, manifest(registry, repository))) == "DIGEST_INVALID"
    assert code(registry.call("PUT", f"{repository}/manifests/latest", data=b"{")) == "MANIFEST_INVALID"


def test_an_index_names_images_that_are_there(registry: Registry, repository: str) -> None:
    told = manifest(registry, repository)
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX}
    index["manifests"] = [{"mediaType": MANIFEST, "digest": NOBODY, "size": 1}]
    assert code(registry.put_manifest(repository, "index", index)) == "MANIFEST_BLOB_UNKNOWN"
    image = registry.put_manifest(repository, "image", told).headers["Docker-Content-Digest"]
    index["manifests"][0]["digest"] = image
    assert registry.put_manifest(repository, "index", index).status_code == 201
    assert registry.call("GET", f"{repository}/manifests/index").headers["Content-Type"] == INDEX


def test_ecr_tells_of_the_images_and_deletes_them(world: World, registry: Registry, repository: str) -> None:
    ecr = world.client("ecr")
    first, second = (manifest(registry, repository) for _ in range(2))
    old = registry.put_manifest(repository, "latest", first).headers["Docker-Content-Digest"]
    new = registry.put_manifest(repository, "latest", second).headers["Docker-Content-Digest"]
    told = {each["imageDigest"]: each for each in ecr.describe_images(repositoryName=repository)["imageDetails"]}
    assert (told[new]["imageTags"], "imageTags" in told[old]) == (["latest"], False)
    assert told[new]["imageSizeInBytes"] == second["config"]["size"] + second["layers"][0]["size"]
    assert {each["imageDigest"] for each in ecr.list_images(repositoryName=repository)["imageIds"]} == {old, new}
    by_digest = [{"imageDigest": old}, {"imageDigest": NOBODY}]
    deleted = ecr.batch_delete_image(repositoryName=repository, imageIds=by_digest)
    assert [each["imageDigest"] for each in deleted["imageIds"]] == [old]
    assert [each["failureCode"] for each in deleted["failures"]] == ["ImageNotFound"]
    assert registry.call("HEAD", f"{repository}/manifests/{old}").status_code == 404
    assert registry.call("DELETE", f"{repository}/manifests/{new}").status_code == 202
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


@pytest.mark.engine
def test_docker_pushes_and_pulls(world: World, registry: Registry, repository: str, tmp_path: Path) -> None:
    def docker(*words: str, told: str = "") -> str:
        command = ["docker", "--config", str(tmp_path), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=told).stdout

    name, password = f"{world.aws.registry}/{repository}:v1", b64decode(registry.login).decode().partition(":")[2]
    docker("login", "--username", "AWS", "--password-stdin", world.aws.registry, told=password)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY config.json /\nLABEL nonce=" + uuid4().hex)
    docker("build", "--tag", name, str(tmp_path))
    digest = docker("push", name).rpartition("digest: ")[2].split()[0]
    docker("rmi", name)
    assert digest in docker("pull", f"{world.aws.registry}/{repository}@{digest}")
    (told,) = world.client("ecr").describe_images(repositoryName=repository)["imageDetails"]
    assert (told["imageDigest"], told["imageTags"]) == (digest, ["v1"])
    docker("rmi", f"{world.aws.registry}/{repository}@{digest}")


def test_an_immutable_tag_is_refused_even_for_the_same_image(world: World, registry: Registry) -> None:
    name = f"tests/{uuid4().hex[:8]}"
    world.client("ecr").create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    told = manifest(registry, name)
    assert registry.put_manifest(name, "v1", told).status_code == 201
    assert code(registry.put_manifest(name, "v1", told)) == "TAG_INVALID"
    assert code(registry.put_manifest(name, "v1", manifest(registry, name))) == "TAG_INVALID"
    assert registry.put_manifest(name, "v2", told).status_code == 201


def test_a_deleted_repository_takes_its_blobs_along(world: World, registry: Registry, repository: str) -> None:
    digest = registry.push_blob(repository, b"soon gone")["digest"]
    ecr = world.client("ecr")
    ecr.delete_repository(repositoryName=repository, force=True)
    assert code(registry.call("GET", f"{repository}/blobs/{digest}")) == "NAME_UNKNOWN"
    ecr.create_repository(repositoryName=repository)
    assert registry.call("HEAD", f"{repository}/blobs/{digest}").status_code == 404
    with pytest.raises(ClientError, match="does not exist"):
        ecr.describe_repositories(repositoryNames=["nowhere"])
