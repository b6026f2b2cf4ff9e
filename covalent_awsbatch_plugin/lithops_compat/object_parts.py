# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The parts of objects that a function with Lithops' parameter `obj` gets, one in each call.

Source of the rules: https://lithops-cloud.github.io/docs/source/data_processing.html
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import SettingError
from ..runner.lithops_names import ObjectPart, ObjectPlace, bound
from .client_storage import Storage

LEAST_CHUNK = 1024 * 1024
_S3_SCHEMES = ("", "s3", "cos", "aws_s3")


class Split(NamedTuple):
    """A way to split objects: bytes of a part, or parts of an object; and the end of a line, which no part cuts."""

    chunk_size: int | None = None
    chunk_number: int | None = None
    newline: str | None = "\n"


WHOLE = Split()


def parts_of(
    function: Callable[..., Any], elements: list[Any], storage: Storage, split: Split
) -> tuple[list[Any], list[int]]:
    """Return an element for each part of the objects, and the number of parts of each object.

    An object is named by `bucket/key`, with or without `s3://`, or by an URL; `bucket` and `bucket/folder/` are all
    objects in there. Raises SettingError for another place, and for a chunk that is too small.
    """
    if split.chunk_size is not None and split.chunk_size < LEAST_CHUNK and not split.chunk_number:
        raise SettingError(f"obj_chunk_size must be at least 1 MiB ({LEAST_CHUNK}), and is {split.chunk_size}.")
    result: list[Any] = []
    counts: list[int] = []
    for element in elements:
        args, kwargs = bound(function, element)
        named = dict(zip(_names(function), args, strict=False)) | kwargs
        for place in _places(named.pop("obj"), storage):
            parts = _parts(place, split)
            counts.append(len(parts))
            result += [{**named, "obj": part} for part in parts]
    return result, counts


def _names(function: Callable[..., Any]) -> list[str]:
    from ..runner.lithops_names import RESERVED, parameters_of

    return [name for name in parameters_of(function) if name not in RESERVED or name == "obj"]


def _places(text: Any, storage: Storage) -> list[ObjectPlace]:
    """Return the objects that a text names."""
    url = urlsplit(str(text))
    if url.scheme in ("http", "https"):
        return [_of_url(str(text))]
    if url.scheme not in _S3_SCHEMES or str(text).startswith("/"):
        raise SettingError(
            f"obj={text!r} is no object of S3 and no URL.", advice="Name it s3://bucket/key, or give the file's bytes."
        )
    path = f"{url.netloc}{url.path}" if url.scheme else str(text)
    bucket, _, key = path.partition("/")
    if key and not key.endswith("/"):
        return [ObjectPlace(bucket, key, "", storage.head_object(bucket, key)["content-length"])]
    objects = storage.list_objects(bucket, key)
    return [ObjectPlace(bucket, each["Key"], "", each["Size"]) for each in objects if not each["Key"].endswith("/")]


def _of_url(url: str) -> ObjectPlace:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http and https alone come here
    with urllib.request.urlopen(request) as response:  # noqa: S310
        return ObjectPlace("", "", url, int(response.headers["Content-Length"]))


def _parts(place: ObjectPlace, split: Split) -> list[ObjectPart]:
    size = max(place.size, 1)
    chunk = -(-size // split.chunk_number) if split.chunk_number else split.chunk_size or size
    starts = range(0, size, chunk)
    return [
        ObjectPart(place, number, len(starts), (start, min(start + chunk, size) - 1), split.newline)
        for number, start in enumerate(starts)
    ]
