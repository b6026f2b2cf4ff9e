# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Terraform: the program, and the folder where the state of one stack lives, among this user's data."""

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
OLDEST = (1, 4)
Say = Callable[[str], None]


@dataclass(frozen=True)
class StateBucket:
    """Where the state lies when not on this machine: an S3 bucket of yours that keeps versions."""

    bucket: str
    region: str
    profile: str = ""
    credentials: str = ""


class Terraform:
    """One stack. `say` gets a line for each thing that happens."""

    def __init__(self, stack: str, say: Say) -> None:
        self.folder = data_dir() / "infra" / stack
        self._say = say

    # ---- the folder -------------------------------------------------------------------------------------------------
    def known(self) -> dict[str, Any]:
        """The variables of the last `prepare`; empty where there was none."""
        try:
            found: dict[str, Any] = json.loads((self.folder / VARIABLES).read_text())
        except FileNotFoundError:
            return {}
        return found

    def prepare(self, variables: Mapping[str, Any], state: StateBucket | None = None) -> None:
        """This version's Terraform and these variables are in the folder; without `state` it stays where it was."""
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
        self._init(["-migrate-state", "-force-copy"] if state else [])  # what was known here goes to the bucket

    def _init(self, moves: Sequence[str]) -> None:
        """`terraform init`, where what it is for has changed: it reads the whole provider, which takes seconds."""
        mark, files = self.folder / ".terraform" / "initialised-for", (self.folder / "main.tf", self.folder / BACKEND)
        wanted = content_id(*(file.read_text() for file in files if file.exists()))
        if not moves and mark.exists() and mark.read_text() == wanted:
            return
        if not mark.exists():
            self._say("Terraform fetches AWS's provider; the first time that takes a while ...")
        self._run("init", "-input=false", "-no-color", *moves)
        mark.write_text(wanted)

    def connect(self, connection: Mapping[str, str]) -> None:
        """From now on with these variables: the credentials of the last run may be somebody else's, or gone."""
        self._write(VARIABLES, {**self.known(), **connection})

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        atomic_write(self.folder / name, json.dumps(body, indent=2), durable=True)

    def forget(self) -> None:
        """The folder is no longer needed: nothing is left that its state would know."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the program ------------------------------------------------------------------------------------------------
    def plan(self) -> list[str]:
        """What `apply` would do, a line each; nothing when all is as it should be."""
        events = self._events("plan", f"-out={PLAN}")
        return [event["@message"] for event in events if event.get("type") == "planned_change"]

    def apply(self) -> dict[str, Any]:
        """Does what `plan` said; the outputs."""
        list(self._events("apply", PLAN))
        (self.folder / PLAN).unlink(missing_ok=True)
        return self.outputs()

    def destroy(self, keep: Callable[[str], bool] = lambda _: False) -> None:
        """Removes all, less what is to be kept."""
        addresses = self.resources()
        kept = [address for address in addresses if keep(address)]
        targets = [f"-target={address}" for address in addresses if address not in kept] if kept else []
        list(self._events("apply", "-destroy", "-auto-approve", *targets))

    def let_go(self) -> None:
        """From now on bucket and repository can be deleted with what is in them."""
        targets = ("-target=aws_s3_bucket.this", "-target=aws_ecr_repository.this")
        list(self._events("apply", "-auto-approve", "-var=delete_data=true", *targets))

    def resources(self) -> list[str]:
        """The addresses of what there is, without what is only looked up."""
        if not self.folder.exists():
            return []
        answer = self._run("state", "list", fails=True)
        return [line for line in answer.splitlines() if line and not line.startswith("data.")]

    def outputs(self) -> dict[str, Any]:
        """What the stack answers, by name."""
        told = json.loads(self._run("output", "-json", "-no-color"))
        return {name: output["value"] for name, output in told.items()}

    def _events(self, *arguments: str) -> Iterator[dict[str, Any]]:
        """Terraform's own report, one event a line; says what happens, and raises InfraFailed with what it blames."""
        blamed: list[str] = []
        with (self.folder / LOG).open("w") as log:
            process = self._started(arguments[0], "-json", "-input=false", *arguments[1:], out=log)
        try:
            for line in self._lines(process):
                try:
                    event = json.loads(line)
                except ValueError:
                    blamed.append(line)
                    continue
                if _is_told(event):
                    self._say(_told(event))
                if event.get("@level") == "error":
                    blamed.append(_diagnosis(event))
                yield event
        except KeyboardInterrupt:
            self._say("Terraform finishes what it has begun; a second Ctrl-C leaves it to that alone ...")
            process.wait()
            raise
        if process.returncode:
            raise failed(arguments[0], blamed)

    def _lines(self, process: subprocess.Popen[str]) -> Iterator[str]:
        """What Terraform writes, as it comes."""
        rest = ""
        with (self.folder / LOG).open() as log:
            while True:
                ended = process.poll() is not None  # before reading, for it may write until its end
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
        except KeyboardInterrupt:  # Terraform does not hear of it, and ends in its own time
            process.communicate()
            raise
        if process.returncode and not fails:
            raise failed(arguments[0], [f"{answer}\n{complaint}"])
        return "" if process.returncode else answer

    def _started(self, *arguments: str, out: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        """With a file to write to it needs nobody who reads, and goes on where this process can't."""
        return subprocess.Popen(
            [program(), *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,  # in a pipe of its own, for there are warnings in it
            text=True,
            # Out of reach of Ctrl-C: interrupted while it makes a job queue, AWS's provider forgets that it made it,
            # and the next run meets one that exists already. So it finishes what it has begun, and we end after it.
            start_new_session=True,
        )


def program() -> str:
    """The path of Terraform. Raises SettingError where there is none, or only one that is too old."""
    found = shutil.which("terraform")
    if not found:
        raise SettingError(
            "There is no `terraform` on this machine's PATH.",
            advice="Install it: https://developer.hashicorp.com/terraform/install",
        )
    answer = subprocess.run([found, "version", "-json"], capture_output=True, text=True, check=False, env=environment())
    version = str(json.loads(answer.stdout or "{}").get("terraform_version", "0.0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        raise SettingError(f"Terraform {version} is too old.", advice="Install 1.4 or a newer one.")
    return found


def environment() -> dict[str, str]:
    """This process's own, credentials and proxies with it, less what would change what our commands mean."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CLI_ARGS", "TF_VAR_"))}
    return kept | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}


def _backend(state: StateBucket, stack: str) -> dict[str, Any]:
    told = {
        "bucket": state.bucket,
        "key": f"terraform/covalent-awsbatch/{stack}.tfstate",
        "region": state.region,
        "encrypt": True,
    }
    if state.profile:
        told["profile"] = state.profile
    if state.credentials:
        told["shared_credentials_files"] = [state.credentials]
    return told


# Types of events: https://developer.hashicorp.com/terraform/internals/machine-readable-ui
_TOLD = {"apply_start", "apply_progress", "apply_complete", "apply_errored", "change_summary"}


def _is_told(event: Mapping[str, Any]) -> bool:
    """Looking things up goes without saying."""
    address = str(event.get("hook", {}).get("resource", {}).get("addr", ""))
    return event.get("type") in _TOLD and not address.startswith("data.")


def _told(event: Mapping[str, Any]) -> str:
    return str(event["@message"]).split(" [id=")[0]


def _diagnosis(event: Mapping[str, Any]) -> str:
    told = event.get("diagnostic") or {}
    where = f"{told['address']}: " if told.get("address") else ""
    return f"{where}{told.get('summary') or event.get('@message')} {told.get('detail') or ''}".strip()
