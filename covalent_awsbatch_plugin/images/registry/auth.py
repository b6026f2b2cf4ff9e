# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A registry's authentication.

https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass(frozen=True)
class BearerChallenge:
    """The address of a token server (`realm`), and the scope of the token."""

    realm: str
    service: str = ""
    scope: str = ""

    def url(self) -> URL:
        """Return the URL of the token. Two scopes in one challenge, as for a mount, are two parameters."""
        query = [("service", self.service)] if self.service else []
        query += [("scope", scope) for scope in self.scope.split()]
        return URL(self.realm).extend_query(query)


def bearer_challenge(headers: Iterable[str]) -> BearerChallenge | None:
    """Return the Bearer challenge in WWW-Authenticate headers; None if there is none."""
    for header in headers:
        scheme, _, rest = header.strip().partition(" ")
        parameters = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        if scheme.lower() == "bearer" and "realm" in parameters:
            return BearerChallenge(parameters["realm"], parameters.get("service", ""), parameters.get("scope", ""))
    return None


def token_in(body: bytes) -> str | None:
    """Return the token in a token server's answer; Docker's servers call it `token`, OAuth's `access_token`."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
    return token if isinstance(token, str) else None
