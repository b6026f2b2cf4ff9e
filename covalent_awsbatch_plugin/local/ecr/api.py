# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""ECR's API before the registry, with the registry's logins, URIs and images.

It extends moto's ECR. test_moto_has_not_moved.py checks the parts that it uses: `ECRBackend.create_repository`,
`batch_delete_image`, `Repository.images/layers/uri`, `Image.get_image_size_in_bytes` and
`ECRResponse.get_authorization_token`.
"""

from __future__ import annotations

import time
from base64 import b64encode
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.ecr import urls
from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

from ..iam.enforcement import Guard, Principal, caller, denial
from ..iam.required_actions import Need
from .registry import Manifest, TagExists

TOKEN_LIVES_S = 12 * 3600  # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html


class LocalImage(Image):
    """An image with its size (bytes): the stored config and layers."""

    size = 0

    def get_image_size_in_bytes(self) -> int | None:
        return self.size


class LocalECRBackend(ECRBackend):
    """Repositories whose URIs lead to the registry at `host` (`127.0.0.1:port`)."""

    host: ClassVar[str] = ""

    @property
    def url_bases(self) -> list[str]:
        return list(urls.url_bases)

    @property
    def url_paths(self) -> dict[str, Any]:
        return {path.format(""): LocalECRResponse.dispatch for path in urls.url_paths}

    def create_repository(self, *args: Any, **kwargs: Any) -> Repository:
        repository = super().create_repository(*args, **kwargs)
        repository.uri = f"{self.host}/{repository.name}"
        return repository

    def batch_delete_image(
        self,
        repository_name: str,
        registry_id: str | None = None,
        image_ids: list[dict[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Delete images. As at AWS, and unlike moto, the response names untagged images, too."""
        repository = self.repositories.get(repository_name)
        untagged = {image.image_digest for image in repository.images if not image.image_tags} if repository else set()
        response: dict[str, Any] = super().batch_delete_image(repository_name, registry_id, image_ids)
        requested = {each["imageDigest"] for each in image_ids or () if "imageDigest" in each}
        response["imageIds"] += [{"imageDigest": digest} for digest in sorted(requested & untagged)]
        return response


class LocalECRResponse(ECRResponse):
    """Responses of ECR's API, with logins for the registry."""

    logins: ClassVar[dict[str, tuple[float, Principal | None]]] = {}  # token -> its expiry (Unix time), its owner

    @classmethod
    def new_login(cls, owner: Principal | None = None) -> tuple[str, float]:
        """Return a new token and its expiry (Unix time). A token without an owner has every permission."""
        token, ends = token_urlsafe(48), time.time() + TOKEN_LIVES_S
        cls.logins[token] = ends, owner
        return token, ends

    def get_authorization_token(self) -> ActionResult:
        token, ends = self.new_login(caller(self.current_account, self.headers))
        login = {
            "authorizationToken": b64encode(f"AWS:{token}".encode()).decode(),
            "expiresAt": datetime.fromtimestamp(ends, UTC),
            "proxyEndpoint": f"http://{LocalECRBackend.host}",
        }
        return ActionResult({"authorizationData": [login]})


class ECRCatalog:
    """The registry's view of the ECR backend of one account and region."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id, self._region = account_id, region

    @property
    def _repositories(self) -> dict[str, Repository]:
        repositories: dict[str, Repository] = ecr_backends[self._account_id][self._region].repositories
        return repositories

    def login_is_valid(self, password: str) -> bool:
        return LocalECRResponse.logins.get(password, (0.0, None))[0] > time.time()

    def denial(self, password: str, repository: str, actions: tuple[str, ...]) -> str | None:
        """Return IAM's denial of the actions, None where it allows them, or is not enforced."""
        owner, guard = LocalECRResponse.logins[password][1], Guard.current
        if guard is None or owner is None:
            return None
        arn = f"arn:aws:ecr:{self._region}:{self._account_id}:repository/{repository}"
        needs = (Need(action, arn) for action in actions)
        return next((denial(owner, need) for need in needs if not guard.allows(owner, need)), None)

    def blobs(self, repository: str) -> dict[str, int] | None:
        stored = self._repositories.get(repository)
        return stored.layers if stored else None

    def get(self, repository: str, reference: str) -> Manifest | None:
        image = self._find(repository, reference)
        if image is None:
            return None
        return Manifest(image.image_manifest.encode(), str(image.image_manifest_media_type), image.image_digest)

    def put(self, repository: str, tag: str | None, manifest: Manifest, size: int) -> None:
        stored = self._repositories[repository]
        before = self._find(repository, tag) if tag else None
        image = self._find(repository, manifest.digest)
        if before is not None and stored.is_tag_immutable():  # ECR refuses even the same image
            raise TagExists(f"The image tag '{tag}' already exists in the '{repository}' repository, and is immutable")
        if image is None:
            image = self._new(repository, tag, manifest, size)
            stored.images.append(image)
        if tag and before is not None and before is not image:
            before.remove_tag(tag)
        if tag:
            image.update_tag(tag)

    def _new(self, repository: str, tag: str | None, manifest: Manifest, size: int) -> LocalImage:
        text = manifest.data.decode()
        image = LocalImage(self._account_id, tag, text, repository, manifest.media_type, manifest.digest)
        image.size = size
        return image

    def delete(self, repository: str, reference: str) -> bool:
        image = self._find(repository, reference)
        if image is None:
            return False
        if ":" in reference or image.image_tags == [reference]:
            self._repositories[repository].images.remove(image)
        else:
            image.remove_tag(reference)
        return True

    def tags(self, repository: str) -> list[str]:
        return sorted(tag for image in self._repositories[repository].images for tag in image.image_tags)

    def digests(self, repository: str) -> list[str]:
        stored = self._repositories.get(repository)
        return [image.image_digest for image in stored.images] if stored else []

    def _find(self, repository: str, reference: str) -> Image | None:
        stored = self._repositories.get(repository)
        for image in stored.images if stored else ():
            if reference == image.image_digest or reference in image.image_tags:
                return image
        return None


def install(host: str) -> None:
    """Make this process's moto use the backend above for ECR, with the registry at `host`."""
    LocalECRBackend.host = host
    ecr_backends.backend = LocalECRBackend
