# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An AWS that conformance tests run on: the settings that lead to it, and boto's clients that look at it."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session


@dataclass(frozen=True)
class World:
    """An AWS by its `name`. `section` are `[executors.awsbatch]` settings; `administrator` is a profile of the file."""

    name: str
    endpoint_url: str
    section: dict[str, Any]

    def client(self, service: str) -> Any:
        """Return a client of botocore with the administrator's keys."""
        session = botocore.session.Session(profile=self.section["profile"])
        session.set_config_variable("credentials_file", self.section["credentials"])
        return session.create_client(service, self.section["region"])


def through(name: str, endpoint_url: str, section: dict[str, Any], folder: Path) -> World:
    """Return a world whose credentials file names the endpoint of its front."""
    profiles = configparser.ConfigParser()
    profiles.read(section["credentials"])
    for each in profiles.sections():
        profiles[each]["endpoint_url"] = endpoint_url
    file = folder / f"credentials-{name}"
    with open(file, "w", opener=_own) as out:
        profiles.write(out)
    return World(name, endpoint_url, section | {"credentials": str(file)})


def _own(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
