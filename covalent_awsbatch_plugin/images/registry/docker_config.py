# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The logins that `docker login` left on this machine: in Docker's config file, or with a credential helper.

https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..builders.builder import Login
from ..reference import DOCKER_HUB

log = logging.getLogger(__name__)

HELPER_S = 30.0  # a helper may ask a key ring or the network
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
_TOKEN = "<token>"  # noqa: S105 - the user name that Docker gives an identity token


async def docker_login(host: str) -> Login | None:
    """Return this machine's login for a registry; None, with a warning, if a helper can't give it."""
    config = await asyncio.to_thread(_config)
    keys = (*(_HUB_KEYS if host == DOCKER_HUB else ()), host, f"https://{host}", f"https://{host}/v1/")
    helpers = config.get("credHelpers") or {}
    for key in keys:
        if name := helpers.get(key) or config.get("credsStore"):
            if login := await _of_helper(str(name), key):
                return login
        elif login := _of_file((config.get("auths") or {}).get(key)):
            return login
    return None


def _config() -> Mapping[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    try:
        config = json.loads(Path(folder, "config.json").read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("Docker's config file in %s can't be read, so its logins are not used: %s", folder, error)
        return {}
    return config if isinstance(config, dict) else {}


def _of_file(entry: Any) -> Login | None:
    if not isinstance(entry, dict):
        return None
    with contextlib.suppress(ValueError):
        user, colon, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
        if colon:
            return Login(user, password.rstrip("\0"))
    if entry.get("username") and entry.get("password"):
        return Login(str(entry["username"]), str(entry["password"]))
    return None


async def _of_helper(name: str, key: str) -> Login | None:
    """Return the login that `docker-credential-NAME get` prints; None where the helper has none."""
    program = f"docker-credential-{name}"
    try:
        process = await asyncio.create_subprocess_exec(
            program, "get", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        log.warning("%s, which Docker's config file names for %s, can't be run: %s", program, key, error.strerror)
        return None
    try:
        async with asyncio.timeout(HELPER_S):
            output, _ = await process.communicate(key.encode())
    except TimeoutError:
        log.warning("%s did not answer for %s within %.0f s.", program, key, HELPER_S)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _of_answer(program, key, output) if process.returncode == 0 else None


def _of_answer(program: str, key: str, output: bytes) -> Login | None:
    try:
        answer = json.loads(output)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        log.warning("%s printed no login for %s.", program, key)
        return None
    if user == _TOKEN:
        log.warning("%s has an identity token for %s, which can't be used here: log in with a password.", program, key)
        return None
    return Login(user, secret)
