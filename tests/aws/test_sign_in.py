# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Credentials that this machine cannot provide: one sentence that names the cause, at once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.aws.sign_in import _CliSessions

ROLE = "role_arn=arn:aws:iam::123456789012:role/x\nsource_profile=base\n"
BASE = "[profile base]\naws_access_key_id=a\naws_secret_access_key=b\n"
MFA = f"{ROLE}mfa_serial=arn:aws:iam::123456789012:mfa/me"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_profile(home: Path, lines: str) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(f"[profile mine]\nregion=us-east-1\n{lines}\n{BASE}")


async def failure() -> errors.AWSBatchError:
    with pytest.raises(errors.AWSBatchError) as raised:
        async with AWS(Connection(profile="mine")) as aws:
            await aws.call("sts", "GetCallerIdentity", of="the AWS account")
    return raised.value


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("credential_process=/no/such/program", "`/no/such/program`"),
        ("credential_process=/", "`/`"),
        (f"{ROLE.replace('source_profile=base', 'web_identity_token_file=/no/such/token')}", "`/no/such/token`"),
    ],
    ids=["no program", "a folder as program", "no token file"],
)
async def test_a_missing_local_file_is_named_and_not_told_as_network(home: Path, lines: str, named: str) -> None:
    write_profile(home, lines)
    error = await failure()
    assert isinstance(error, errors.SettingError)
    assert named in error.happened
    assert "network" not in str(error) and "did not answer" not in str(error)


async def test_a_missing_file_of_certificates_is_not_told_as_network(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(home, "aws_access_key_id=a\naws_secret_access_key=b")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(home / "no-ca.pem"))
    error = await failure()
    assert isinstance(error, errors.SettingError)
    assert "AWS_CA_BUNDLE" in error.advice


async def test_a_program_that_prints_no_json_is_named(home: Path) -> None:
    write_profile(home, "credential_process=/bin/echo hello")
    error = await failure()
    assert isinstance(error, errors.NotAuthenticated)
    assert "credential_process" in error.happened


# ---- MFA -------------------------------------------------------------------------------------------------------------
COMMAND = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "jobs", "--profile", "mine"]


def sentence(home: Path, stdin: int) -> str:
    environment = os.environ | {"HOME": str(home)}
    ran = subprocess.run(COMMAND, stdin=stdin, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    return ran.stderr


def test_a_profile_with_mfa_is_told_at_once_without_a_terminal(home: Path) -> None:
    write_profile(home, MFA)
    said = sentence(home, subprocess.DEVNULL)
    assert "needs an MFA code (`mfa_serial`)." in said
    assert "aws sts get-caller-identity --profile mine" in said
    assert "Traceback" not in said and said.count("\n") == 2


def test_a_profile_with_mfa_is_told_at_once_at_a_terminal(home: Path) -> None:
    write_profile(home, MFA)
    ours, terminal = pty.openpty()
    try:
        said = sentence(home, terminal)
    finally:
        os.close(ours)
        os.close(terminal)
    assert "needs an MFA code (`mfa_serial`)." in said and "Enter MFA" not in said


class Asked(_CliSessions):
    """The stored sessions, with the keys that botocore asks for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.keys_asked: list[str] = []

    def __getitem__(self, key: str) -> object:
        self.keys_asked.append(key)
        return super().__getitem__(key)


async def test_a_session_that_the_aws_cli_stored_is_used(home: Path) -> None:
    """The file's name is botocore's hash of the AssumeRole request, which the CLI computes with the same code."""
    write_profile(home, MFA)
    stored = {"AccessKeyId": "fromcli", "SecretAccessKey": "s", "SessionToken": "t"}
    stored["Expiration"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    cache = home / ".aws" / "cli" / "cache"
    cache.mkdir(parents=True)
    asked = Asked(cache)
    async with AWS(Connection(profile="mine")) as aws:
        aws._session._session.get_component("credential_provider").get_provider("assume-role").cache = asked  # type: ignore[union-attr]
        with pytest.raises(errors.NotAuthenticated):
            await aws.keys()
    (name,) = set(asked.keys_asked)
    (cache / f"{name}.json").write_text(json.dumps({"Credentials": stored}))
    async with AWS(Connection(profile="mine")) as aws:
        assert (await aws.keys()).access_key == "fromcli"
