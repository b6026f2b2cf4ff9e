# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The size limits of IAM policies, which moto ignores. Blanks do not count.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from moto.iam.exceptions import LimitExceededException
from moto.iam.models import IAMBackend

from ...iam import MANAGED_CHARACTERS, ROLE_CHARACTERS, USER_CHARACTERS

GROUP_CHARACTERS = 5120


def install() -> None:
    """Limit the policies that this process's moto takes: inline ones by their sum, managed ones each."""
    for kind, most in (("user", USER_CHARACTERS), ("role", ROLE_CHARACTERS), ("group", GROUP_CHARACTERS)):
        _replace(f"put_{kind}_policy", _inline(kind, most))
    _replace("create_policy", lambda _, policy: _check_managed(policy["policy_document"]))
    _replace("create_policy_version", lambda _, policy: _check_managed(policy["policy_document"]))


def _replace(name: str, check: Callable[[IAMBackend, dict[str, Any]], None]) -> None:
    method = getattr(IAMBackend, name)
    if hasattr(method, "__wrapped__"):
        return
    names = method.__code__.co_varnames[1 : method.__code__.co_argcount]

    @wraps(method)
    def checked(self: IAMBackend, *arguments: Any, **named: Any) -> Any:
        check(self, dict(zip(names, arguments, strict=False)) | named)
        return method(self, *arguments, **named)

    setattr(IAMBackend, name, checked)


def _inline(kind: str, most: int) -> Callable[[IAMBackend, dict[str, Any]], None]:
    def check(backend: IAMBackend, policy: dict[str, Any]) -> None:
        owner = policy[f"{kind}_name"]
        others = getattr(getattr(backend, f"get_{kind}")(owner), "policies", {})
        documents = {**others, policy["policy_name"]: policy["policy_json"]}
        if sum(_characters(document) for document in documents.values()) > most:
            raise LimitExceededException(f"Maximum policy size of {most} bytes exceeded for {kind} {owner}")

    return check


def _check_managed(document: str) -> None:
    if _characters(document) > MANAGED_CHARACTERS:
        raise LimitExceededException(f"Cannot exceed quota for PolicySize: {MANAGED_CHARACTERS}")


def _characters(document: Any) -> int:
    return len("".join(str(document).split()))
