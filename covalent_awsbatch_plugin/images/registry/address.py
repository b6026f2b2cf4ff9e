# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The addresses that a registry may have and refer to, and the proxy and the certificates on the way to them."""

from __future__ import annotations

import os
import ssl
import urllib.request

from yarl import URL

from ...errors import Refused, SettingError
from ..reference import is_loopback
from .errors import About


def base_url(host: str) -> URL:
    """Return the URL of a registry's API: plain HTTP on this machine only."""
    return URL(f"{'http' if is_loopback(host) else 'https'}://{host}/v2/")


def absolute(here: URL, there: str, about: About) -> URL:
    """Return the URL of a reference in a response from `here`. Raises Refused for one that must not be followed."""
    try:
        url = here.join(URL(there, encoded=True))
    except ValueError as error:
        raise Refused(f"The registry {about.registry} refers to an address that is none.", says=str(error)) from error
    refuse_unsafe(url, about)
    return url


def refuse_unsafe(url: URL, about: About) -> None:
    """Raise Refused for what is no HTTPS; a registry of this machine may refer to this machine's plain HTTP."""
    there = f"{url.scheme}://{url.host or ''}" + (f":{url.explicit_port}" if url.explicit_port else "")
    if url.scheme not in ("http", "https") or not url.host:
        raise Refused(f"The registry {about.registry} refers to {there}, which is not an address on the network.")
    if url.scheme == "http" and not (is_loopback(url.host) and is_loopback(about.registry)):
        raise Refused(
            f"The registry {about.registry} refers to {there}, which is not encrypted.",
            advice="Only a registry on this machine may use plain HTTP: give this one a certificate.",
        )


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


def proxy_of(url: URL) -> str | None:
    """Return the proxy of the environment.

    aiohttp's own lookup would also send a .netrc's credentials, and use proxies for loopback.
    """
    if is_loopback(url.host or "") or urllib.request.proxy_bypass(url.host or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)
