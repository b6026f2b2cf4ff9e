# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Responses that note which of their fields are read, by code that knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiobotocore.client import AioBaseClient

Read = tuple[str, str, tuple[str, ...]]  # service, operation, path of keys
Note = Callable[[tuple[str, ...]], None]


class NotingDict(dict[str, Any]):
    """A response, or a part of one."""

    def __init__(self, fields: dict[str, Any], path: tuple[str, ...], note: Note) -> None:
        super().__init__({key: noting(value, (*path, key), note) for key, value in fields.items()})
        self._path, self._note = path, note

    def __getitem__(self, key: str) -> Any:
        self._note((*self._path, key))
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note((*self._path, key))
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._note((*self._path, str(key)))
        return super().__contains__(key)

    def pop(self, key: str, *default: Any) -> Any:
        self._note((*self._path, key))
        return super().pop(key, *default)


def noting(value: Any, path: tuple[str, ...], note: Note) -> Any:
    """Return a value whose reads are noted; lists have no part in paths, and bodies stay as they are."""
    if type(value) is dict:
        return NotingDict(value, path, note)
    return [noting(each, path, note) for each in value] if type(value) is list else value


@contextmanager
def noted(patch: pytest.MonkeyPatch) -> Iterator[set[Read]]:
    """Note what is read of every response of aiobotocore, within the block."""
    reads: set[Read] = set()
    call = AioBaseClient._make_api_call

    async def noting_call(self: Any, operation_name: str, api_params: Any) -> Any:
        response = await call(self, operation_name, api_params)
        service = self.meta.service_model.signing_name
        return noting(response, (), lambda path: reads.add((service, operation_name, path)))

    patch.setattr(AioBaseClient, "_make_api_call", noting_call)
    yield reads
