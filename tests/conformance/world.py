# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An AWS that conformance tests run on: the settings that lead to it, its users, and boto's clients that look at it."""

from __future__ import annotations

import configparser
import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

from covalent_awsbatch_plugin.iam import Statement, split
from covalent_awsbatch_plugin.local import LocalAWS

_numbers = itertools.count()


@dataclass(frozen=True)
class World:
    """An AWS by its `name`. `batch` is the offline AWS that has Batch, for its faults."""

    name: str
    endpoint_url: str
    settings: dict[str, Any]
    batch: LocalAWS

    def section(self) -> dict[str, Any]:
        """Return the `[executors.awsbatch]` settings that lead to it, as an administrator."""
        return dict(self.settings)

    @property
    def region(self) -> str:
        return str(self.settings["region"])

    def fault(self, kind: str, of: str = "*", **fields: Any) -> None:
        """Add a fault of Batch."""
        self.batch.fault(kind, of, **fields)

    def client(self, service: str) -> Any:
        """Return a client of botocore with the administrator's keys."""
        session = botocore.session.Session(profile=self.settings["profile"])
        session.set_config_variable("credentials_file", self.settings["credentials"])
        return session.create_client(service, self.settings["region"])

    def user(self, statements: Sequence[Statement], folder: Path) -> str:
        """Return the credentials file of a new user who may do just this, by managed policies."""
        iam, name = self.client("iam"), f"user{next(_numbers)}"
        iam.create_user(UserName=name)
        for number, part in enumerate(split(list(statements))):
            made = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=json.dumps(part))
            iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        path = folder / f"credentials-{name}"
        path.write_text(
            f"[local]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
            f"region = {self.region}\nendpoint_url = {self.endpoint_url}\n"
        )
        return str(path)


def through(name: str, endpoint_url: str, aws: LocalAWS) -> World:
    """Return a world whose credentials file names the endpoint of its front."""
    section, profiles = aws.section(), configparser.ConfigParser()
    profiles.read(section["credentials"])
    for each in profiles.sections():
        profiles[each]["endpoint_url"] = endpoint_url
    file = aws.state_dir / f"credentials-{name}"
    with open(file, "w", opener=_own) as out:
        profiles.write(out)
    return World(name, endpoint_url, section | {"credentials": str(file)}, aws)


def _own(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
