# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run Terraform in a folder that holds the state of one stack, in this user's data folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..core.files import atomic_write
from ..core.hashing import content_id
from ..core.user_dirs import data_dir
from ..errors import SettingError
from .terraform_errors import failed

SOURCE = Path(__file__).parents[1] / "assets" / "infra"
COPIED = ("*.tf", "*.tf.json", "*.tftpl")
VARIABLES, BACKEND, PLAN = "terraform.tfvars.json", "backend_override.tf.json", "next.tfplan"
LOG = "last-run.jsonl"
LOOK_EVERY_S = 0.1
VERSION_LIMIT_S = 60  # of a command that takes less than one second
OLDEST = (1, 4)
Say = Callable[[str], None]


@dataclass(frozen=True)
class StateBucket:
    """An S3 bucket for the state; it should keep versions."""

    bucket: str
    region: str
    profile: str = ""
    credentials: str = ""


class Terraform:
    """Terraform for one stack. `say` gets a line for each change."""

    def __init__(self, stack: str, say: Say) -> None:
        self.folder = data_dir() / "infra" / stack
        self._say = say

    # ---- the folder -------------------------------------------------------------------------------------------------
    def known(self) -> dict[str, Any]:
        """Return the variables of the last `prepare`; empty if there was none."""
        try:
            variables: dict[str, Any] = json.loads((self.folder / VARIABLES).read_text())
        except FileNotFoundError:
            return {}
        return variables

    def prepare(self, variables: Mapping[str, Any], state: StateBucket | None = None) -> None:
        """Write this version's Terraform files and the variables to the folder.

        With `state`, the state moves to that bucket; without, it stays where it was.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for pattern in COPIED:
            for old in self.folder.glob(pattern):
                if old.name != BACKEND:
                    old.unlink()
            for file in SOURCE.glob(pattern):
                shutil.copyfile(file, self.folder / file.name)
        self._write(VARIABLES, variables)
        if state:
            self._write(BACKEND, {"terraform": {"backend": {"s3": _backend(state, self.folder.name)}}})
        self._init(["-migrate-state", "-force-copy"] if state else [])  # copies the local state to the bucket

    def _init(self, moves: Sequence[str]) -> None:
        """Run `terraform init` if its input has changed: it reads the whole provider, which takes seconds."""
        mark, files = self.folder / ".terraform" / "initialised-for", (self.folder / "main.tf", self.folder / BACKEND)
        expected = content_id(*(file.read_text() for file in files if file.exists()))
        if not moves and mark.exists() and mark.read_text() == expected:
            return
        if not mark.exists():
            self._say("Terraform downloads the AWS provider; this happens once and can take minutes ...")
        self._run("init", "-input=false", "-no-color", *moves)
        mark.write_text(expected)

    def connect(self, connection: Mapping[str, str]) -> None:
        """Replace the connection's variables: the last run's credentials may be another user's, or gone."""
        self._write(VARIABLES, {**self.known(), **connection})

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        atomic_write(self.folder / name, json.dumps(body, indent=2), durable=True)

    def forget(self) -> None:
        """Delete the folder, after all of the stack's resources were deleted."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the program ------------------------------------------------------------------------------------------------
    def plan(self) -> list[str]:
        """Return the changes that `apply` would make, one line each; an empty list if there are none."""
        events = self._events("plan", f"-out={PLAN}")
        return [event["@message"] for event in events if event.get("type") == "planned_change"]

    def apply(self) -> dict[str, Any]:
        """Make the changes of the last `plan`; return the outputs."""
        list(self._events("apply", PLAN))
        (self.folder / PLAN).unlink(missing_ok=True)
        return self.outputs()

    def destroy(self, keep: Callable[[str], bool] = lambda _: False) -> None:
        """Delete all resources but those to keep."""
        addresses = self.resources()
        kept_addresses = [address for address in addresses if keep(address)]
        targets = (
            [f"-target={address}" for address in addresses if address not in kept_addresses] if kept_addresses else []
        )
        list(self._events("apply", "-destroy", "-auto-approve", *targets))

    def let_go(self) -> None:
        """Allow the bucket and the repository to be deleted with their contents."""
        targets = ("-target=aws_s3_bucket.this", "-target=aws_ecr_repository.this")
        list(self._events("apply", "-auto-approve", "-var=delete_data=true", *targets))

    def resources(self) -> list[str]:
        """Return the addresses of the stack's resources, without data sources."""
        if not self.folder.exists():
            return []
        answer = self._run("state", "list", fails=True)
        return [line for line in answer.splitlines() if line and not line.startswith("data.")]

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs by name."""
        outputs = json.loads(self._run("output", "-json", "-no-color"))
        return {name: output["value"] for name, output in outputs.items()}

    def _events(self, *arguments: str) -> Iterator[dict[str, Any]]:
        """Yield Terraform's events, one per line of its output, and report them.

        Raises InfraFailed with Terraform's error messages if the command fails.
        """
        messages: list[str] = []
        with (self.folder / LOG).open("w") as log:
            process = self._started(arguments[0], "-json", "-input=false", *arguments[1:], out=log)
        try:
            for line in self._lines(process):
                try:
                    event = json.loads(line)
                except ValueError:
                    messages.append(line)
                    continue
                if _is_reported(event):
                    self._say(_report(event))
                if event.get("@level") == "error":
                    messages.append(_diagnosis(event))
                yield event
        except KeyboardInterrupt:
            self._say("Terraform finishes what it has begun. A second Ctrl-C stops waiting for it ...")
            process.wait()
            raise
        if process.returncode:
            raise failed(arguments[0], messages)

    def _lines(self, process: subprocess.Popen[str]) -> Iterator[str]:
        """Yield the lines of Terraform's output as they are written."""
        rest = ""
        with (self.folder / LOG).open() as log:
            while True:
                ended = process.poll() is not None  # before reading, because it may write until its end
                *lines, rest = f"{rest}{log.read()}".split("\n")
                yield from filter(None, lines)
                if ended:
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_EVERY_S)

    def _run(self, *arguments: str, fails: bool = False) -> str:
        process = self._started(*arguments)
        try:
            answer, complaint = process.communicate()
        except KeyboardInterrupt:  # Terraform does not get the signal and ends by itself
            process.communicate()
            raise
        if process.returncode and not fails:
            raise failed(arguments[0], [f"{answer}\n{complaint}"])
        return "" if process.returncode else answer

    def _started(self, *arguments: str, out: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start Terraform. With a file as its output it needs no reader and outlives this process."""
        return subprocess.Popen(
            [program(), *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,  # a pipe of its own: it has warnings
            text=True,
            # A session of its own keeps Ctrl-C away: if it is interrupted while it creates a job queue, AWS's provider
            # does not record the queue, and the next run fails because the queue exists already.
            start_new_session=True,
        )


def program() -> str:
    """Return the path of Terraform. Raises SettingError if it is not installed or too old."""
    path = shutil.which("terraform")
    if not path:
        raise SettingError(
            "The program `terraform` is not on the PATH.",
            advice="Install it: https://developer.hashicorp.com/terraform/install",
        )
    version = str(json.loads(_version_output(path) or "{}").get("terraform_version", "0.0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise SettingError(f"Terraform {version} is too old.", advice="Install 1.4 or a newer one.")
    return path


def _version_output(path: str) -> str:
    try:
        answer = subprocess.run(
            [path, "version", "-json"],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=VERSION_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise SettingError(
            f"`{path} version` did not end within {VERSION_LIMIT_S} s.",
            advice="Run it in a shell: the `terraform` on the PATH may be a wrapper that waits for input.",
        ) from None
    return answer.stdout


def environment() -> dict[str, str]:
    """Return this process's environment variables without those that change Terraform's commands."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CLI_ARGS", "TF_VAR_"))}
    return variables | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}


def _backend(state: StateBucket, stack: str) -> dict[str, Any]:
    backend = {
        "bucket": state.bucket,
        "key": f"terraform/covalent-awsbatch/{stack}.tfstate",
        "region": state.region,
        "encrypt": True,
    }
    if state.profile:
        backend["profile"] = state.profile
    if state.credentials:
        backend["shared_credentials_files"] = [state.credentials]
    return backend


# Types of events: https://developer.hashicorp.com/terraform/internals/machine-readable-ui
_REPORTED = {"apply_start", "apply_progress", "apply_complete", "apply_errored", "change_summary"}


def _is_reported(event: Mapping[str, Any]) -> bool:
    """Return whether an event is worth a line; reading data sources is not."""
    address = str(event.get("hook", {}).get("resource", {}).get("addr", ""))
    return event.get("type") in _REPORTED and not address.startswith("data.")


def _report(event: Mapping[str, Any]) -> str:
    return str(event["@message"]).split(" [id=")[0]


def _diagnosis(event: Mapping[str, Any]) -> str:
    diagnostic = event.get("diagnostic") or {}
    where = f"{diagnostic['address']}: " if diagnostic.get("address") else ""
    return f"{where}{diagnostic.get('summary') or event.get('@message')} {diagnostic.get('detail') or ''}".strip()
