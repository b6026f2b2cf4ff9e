# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""How a registry asks who we are: https://distribution.github.io/distribution/spec/auth/token/"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass(frozen=True)
class BearerChallenge:
    """Where a token is to be had (`realm`), and for what."""

    realm: str
    service: str = ""
    scope: str = ""

    def url(self) -> URL:
        """What to GET. Two scopes in one challenge, as of a mount, are two parameters."""
        query = [("service", self.service)] if self.service else []
        query += [("scope", scope) for scope in self.scope.split()]
        return URL(self.realm).extend_query(query)


def bearer_challenge(headers: Iterable[str]) -> BearerChallenge | None:
    """The challenge in WWW-Authenticate headers that a token answers; None when there is no such challenge."""
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        if scheme.lower() == "bearer" and "realm" in found:
            return BearerChallenge(found["realm"], found.get("service", ""), found.get("scope", ""))
    return None


def token_in(body: bytes) -> str | None:
    """The token of a token server's answer; Docker's servers call it `token`, OAuth's `access_token`."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
    return token if isinstance(token, str) else None
