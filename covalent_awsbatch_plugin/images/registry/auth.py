# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A registry's authentication: the certificates that are trusted, the tokens that are asked for.

https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

from ...errors import SettingError

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


def tls_context(ca_bundle: str) -> ssl.SSLContext | None:
    """Return a context that trusts `ca_bundle` and REQUESTS_CA_BUNDLE too; None where neither is set.

    Raises SettingError for one that can't be read.
    """
    bundles = {"AWS_CA_BUNDLE (or ca_bundle)": ca_bundle, "REQUESTS_CA_BUNDLE": os.environ.get("REQUESTS_CA_BUNDLE")}
    if not any(bundles.values()):
        return None
    context = ssl.create_default_context()
    for name, path in bundles.items():
        if not path:
            continue
        try:
            context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
        except OSError as error:
            raise SettingError(
                f"The certificates that {name} names can't be read: {path}: {error.strerror or error}.",
                advice="Set the path of a file with certificates in PEM format.",
            ) from error
    return context
