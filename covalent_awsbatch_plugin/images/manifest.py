# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Images as bytes: parse a base's manifest and config, add layers, find its Python version.

Formats: https://github.com/opencontainers/image-spec (OCI) and
https://distribution.github.io/distribution/spec/manifest-v2-2/ (Docker). A new image has the media types of its base,
so the base's layers keep their descriptors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import ImageError
from ..runner.protocol.layout import ENTRYPOINT
from .layer import Layer, digest_of

Json = dict[str, Any]

STOP_SIGNAL = "SIGTERM"  # of `docker stop`, and so of AWS Batch, for the runner
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")  # image-spec/blob/main/descriptor.md#digests
MAX_LAYERS = 125  # dockerd refuses an image with 126 layers: `max depth exceeded`
EPOCH = "1970-01-01T00:00:00Z"  # a real time would change the digest with each build
LABEL_BASE_LAYERS = "covalent.awsbatch.base.layers"
LABEL_PYTHON = "covalent.awsbatch.python"
ENVIRONMENT = {"COVALENT_PLUGIN_LOAD": "false"}  # a covalent in the image must not load executor plugins to run a task


@dataclass(frozen=True)
class Family:
    """The media types that go together in one image."""

    manifest: str
    index: str
    config: str
    layer: str


OCI = Family(
    manifest="application/vnd.oci.image.manifest.v1+json",
    index="application/vnd.oci.image.index.v1+json",
    config="application/vnd.oci.image.config.v1+json",
    layer="application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER = Family(
    manifest="application/vnd.docker.distribution.manifest.v2+json",
    index="application/vnd.docker.distribution.manifest.list.v2+json",
    config="application/vnd.docker.container.image.v1+json",
    layer="application/vnd.docker.image.rootfs.diff.tar.gzip",
)
FAMILIES = (OCI, DOCKER)
INDEXES = tuple(family.index for family in FAMILIES)
MANIFESTS = tuple(family.manifest for family in FAMILIES)


@dataclass(frozen=True)
class Descriptor:
    """A reference to a blob or a manifest: media type, digest, size (bytes)."""

    media_type: str
    digest: str
    size: int
    platform: str | None = None

    @classmethod
    def of(cls, body: Json) -> Descriptor:
        """Parse a descriptor. Raises ValueError, KeyError, TypeError and AttributeError."""
        media_type, digest, size = body["mediaType"], body["digest"], body["size"]
        if not (type(media_type) is str and type(digest) is str and _DIGEST.fullmatch(digest) and type(size) is int):
            raise ValueError(f"{body!r:.200} is no descriptor")
        return cls(media_type, digest, size, _platform(body.get("platform")))

    def to_json(self) -> Json:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry stores it: its bytes are its identity."""

    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.body)

    @property
    def family(self) -> Family:
        return DOCKER if self.media_type == DOCKER.manifest else OCI

    @property
    def config(self) -> Descriptor:
        return Descriptor.of(json.loads(self.body)["config"])

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        return tuple(map(Descriptor.of, json.loads(self.body)["layers"]))


@dataclass(frozen=True)
class Image:
    """A manifest and the config it names."""

    manifest: Manifest
    config: bytes

    @property
    def digest(self) -> str:
        """Digest by which a job definition names the image."""
        return self.manifest.digest

    @property
    def platform(self) -> str:
        """Platform that the image is built for, such as `linux/amd64`."""
        return _platform(json.loads(self.config)) or "unknown"

    @property
    def python(self) -> str | None:
        return python_version(json.loads(self.config))


def read_manifest(body: bytes, media_type: str) -> Manifest:
    """Parse the manifest of one image. Raises ImageError if no container can run from it."""
    if media_type not in MANIFESTS:
        raise ImageError(
            f"The manifest has the type {media_type or 'unknown'}, which is not supported for base images.",
            advice="Push the image again with a current tool, or choose another one.",
        )
    manifest = Manifest(body, media_type)
    with _readable("manifest", body):
        config, layers = manifest.config, manifest.layers
    if config.media_type not in (OCI.config, DOCKER.config):
        raise ImageError(f"{manifest.digest} is not a container image: its config has the type {config.media_type}.")
    if foreign := [d for d in layers if "foreign" in d.media_type or "nondistributable" in d.media_type]:
        raise ImageError(f"Layer {foreign[0].digest} of {manifest.digest} may not be pushed to another registry.")
    return manifest


def read_image(manifest: Manifest, config: bytes) -> Image:
    """Return the image of a manifest and its config. Raises ImageError for a config that can't be read."""
    with _readable("config", config):
        body = json.loads(config)
        runtime, labels = body.get("config") or {}, (body.get("config") or {}).get("Labels") or {}
        texts = [
            *(body.get(name) or "" for name in ("os", "architecture", "variant")),
            *(runtime.get("Env") or ()),
            *labels.values(),
            *(body.get("rootfs") or {}).get("diff_ids", ()),
        ]
        if strange := [text for text in texts if type(text) is not str]:
            raise TypeError(f"{strange[0]!r:.200} is no text")
        if strange := [step for step in body.get("history") or () if type(step) is not dict]:
            raise TypeError(f"{strange[0]!r:.200} is no step of a history")
    return Image(manifest, config)


@contextmanager
def _readable(what: str, body: bytes) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError(f"The {what} {digest_of(body)} can't be read: {error!r:.300}.") from error


def select_platform(index: bytes, platform: str) -> Descriptor:
    """Return the manifest for `platform`, such as `linux/amd64`, from an index.

    Raises ImageError, which names the platforms in the index.
    """
    with _readable("index", index):
        manifests = [Descriptor.of(m) for m in json.loads(index)["manifests"]]
    for manifest in manifests:
        if manifest.platform == _plain(platform):
            return manifest
    # Build attestations are listed with the images, for the platform `unknown/unknown`.
    there = sorted({m.platform for m in manifests if m.platform and not m.platform.startswith("unknown")})
    raise ImageError(
        f"The image is not available for {platform}, only for {', '.join(there) or 'no platform at all'}.",
        advice="Choose another base image, or a job queue whose instances have one of these platforms.",
    )


def check_platform(image: Image, platform: str) -> None:
    """Raise ImageError if an image that is not listed in an index has another platform."""
    if image.platform != _plain(platform):
        raise ImageError(
            f"The image is built for {image.platform}, and the job needs {platform}.",
            advice="Choose another base image, or a job queue whose instances have that platform.",
        )


def _platform(body: Json | None) -> str | None:
    if not body:
        return None
    return _plain("/".join(filter(None, (body.get("os"), body.get("architecture"), body.get("variant")))))


def _plain(platform: str) -> str:
    """Return the platform without arm64's default variant, v8."""
    return platform.removesuffix("/v8") if platform.startswith("linux/arm64") else platform


def python_version(config: Json) -> str | None:
    """Return the version of an image's Python, such as `3.11.7`.

    The source is this package's label, else `PYTHON_VERSION` of the official images.
    """
    runtime = config.get("config") or {}
    label = (runtime.get("Labels") or {}).get(LABEL_PYTHON)
    return label or _environment(runtime).get("PYTHON_VERSION") or None


def _environment(runtime: Json) -> dict[str, str]:
    pairs = (variable.partition("=") for variable in runtime.get("Env") or ())
    return {name: value for name, _, value in pairs}


def compose(base: Image, layers: Sequence[Layer], environment: Mapping[str, str] = ENVIRONMENT) -> Image:
    """Return the base with `layers` on top, which runs a task when started; same input, same bytes.

    User, working directory and environment stay the base's. Raises ImageError if there are too many layers.
    """
    below = base.manifest.layers
    if len(below) + len(layers) > MAX_LAYERS:
        raise ImageError(
            f"The base image has {len(below)} layers; with {len(layers)} more it exceeds {MAX_LAYERS}, "
            "the limit of a Docker engine.",
            advice="Build the base image with fewer layers, for example with `docker build --squash`.",
        )
    family = base.manifest.family
    config = _json(_config(json.loads(base.config), len(below), layers, environment))
    above = (Descriptor(family.layer, layer.digest, layer.size) for layer in layers)
    return assemble(family, config, (*below, *above))


def assemble(family: Family, config: bytes, layers: Sequence[Descriptor]) -> Image:
    """Return the image of this config and these layers, bottom up."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": family.manifest,
        "config": Descriptor(family.config, digest_of(config), len(config)).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return Image(Manifest(_json(manifest), family.manifest), config)


# Fields of old engines about the container from which an image was committed.
_OF_THE_BUILD = {"id", "parent", "container", "container_config", "docker_version"}


def _config(base: Json, below: int, layers: Sequence[Layer], environment: Mapping[str, str]) -> Json:
    diff_ids = base.get("rootfs", {}).get("diff_ids", [])
    if len(diff_ids) != below:
        raise ImageError(f"The base image is damaged: {below} layers in its manifest, {len(diff_ids)} in its config.")
    fields = {key: value for key, value in base.items() if key not in _OF_THE_BUILD}
    return fields | {
        "created": EPOCH,
        "config": _runtime(base.get("config") or {}, below, environment),
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, *(layer.diff_id for layer in layers)]},
        "history": [*_history(base, below), *map(_step, layers)],
    }


def _runtime(base: Json, below: int, environment: Mapping[str, str]) -> Json:
    """Return the container's start and its stop signal.

    The entrypoint is removed: an official image's shell wrapper ignores SIGTERM. The runner ends its task at SIGTERM,
    so a `STOPSIGNAL` of the base would let the task run on until SIGKILL.
    """
    fields = {key: value for key, value in base.items() if key != "Entrypoint"}
    variables = _environment(base) | dict(environment)
    return fields | {
        "Cmd": list(ENTRYPOINT),
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": (base.get("Labels") or {}) | {LABEL_BASE_LAYERS: str(below)},
        "StopSignal": STOP_SIGNAL,
    }


def _history(base: Json, below: int) -> list[Json]:
    """Return the base's history, or a generated one: tools expect one step for each layer."""
    history: list[Json] = base.get("history") or []
    if sum(not step.get("empty_layer", False) for step in history) == below:
        return history
    return [{"created": EPOCH, "created_by": "base image"}] * below


def _step(layer: Layer) -> Json:
    return {"created": EPOCH, "created_by": "covalent-awsbatch-plugin", "comment": layer.comment}


def _json(body: Json) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
