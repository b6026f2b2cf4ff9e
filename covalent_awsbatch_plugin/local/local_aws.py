# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`LocalAWS` is an offline AWS that runs during an `async with` block, for tests, examples and demos."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

from .background import (
    CALLS_PATH,
    ENDS_WITHIN_S,
    FAULTS_PATH,
    STORM_PATH,
    LocalAWSFailed,
    Progress,
    Status,
    flags,
    read_state,
    spawn,
)


class LocalAWS:
    """An offline S3, ECR, Batch, IAM, STS and CloudWatch Logs at `endpoint_url`, with the resources of `section()`.

    It ends with the block, and when this process ends. `engine` is `docker`, `process` or `auto`. `slots` is the number
    of jobs that run at a time. `grace_s` is the time (seconds) between SIGTERM and SIGKILL. `minute_s` is the real time
    (seconds) of a minute of a job's timeout. With `mounting` False, the registry mounts no blob from another
    repository. With `enforce_iam`, policies are enforced, and every check is written to `state_dir`/iam.jsonl.
    `quotas` are requests per second, by service or operation: `{"batch": 50, "ecr:PutImage": 10}`. `registry_name` is
    the host:port of a proxy in front of the registry. `services` is the credentials file of another emulator, whose
    profile `local` has an `endpoint_url`: then only Batch is served here, and its jobs use the other's services.
    """

    def __init__(
        self,
        engine: str = "auto",
        state_dir: Path | None = None,
        region: str = "us-east-1",
        *,
        slots: int | None = None,
        grace_s: float | None = None,
        minute_s: float | None = None,
        mounting: bool | None = None,
        enforce_iam: bool | None = None,
        quotas: Mapping[str, float] | None = None,
        registry_name: str | None = None,
        services: Path | None = None,
        progress: Progress = lambda _line: None,
    ) -> None:
        limits = {"slots": slots, "grace_s": grace_s, "minute_s": minute_s}
        self._options: dict[str, Any] = {
            "engine": engine,
            "region": region,
            "mounting": mounting,
            "enforce_iam": enforce_iam,
            **limits,
        }
        self._options |= {"registry_name": registry_name, "services": services and str(services)}
        self._options["quotas"] = ",".join(f"{name}={rate}" for name, rate in (quotas or {}).items()) or None
        self._given_dir, self._progress = state_dir, progress
        self._temporary: TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._status: Status | None = None

    async def __aenter__(self) -> LocalAWS:
        if self._given_dir is None:
            self._temporary = TemporaryDirectory(prefix="covalent-awsbatch-local-", ignore_cleanup_errors=True)
        starting = asyncio.create_task(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except BaseException:
            await asyncio.wait([starting])  # a thread can't be cancelled: end the process that it starts
            await asyncio.to_thread(self._end)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._end)

    def _start(self) -> None:
        options = [*flags(self._options), "--until-eof"]
        self._process = spawn(self.state_dir, options, self._progress, stdin=subprocess.PIPE)
        self._status = read_state(self.state_dir)

    def _end(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._temporary is not None:
            self._temporary.cleanup()
        self._process = self._status = self._temporary = None

    @property
    def state_dir(self) -> Path:
        """The folder of its files: a temporary one unless it was given. Raises LocalAWSFailed before the start."""
        if self._given_dir is not None:
            return self._given_dir
        if self._temporary is None:
            raise LocalAWSFailed("not started: use `async with LocalAWS() as aws`")
        return Path(self._temporary.name)

    @property
    def _running(self) -> Status:
        if self._status is None:
            raise LocalAWSFailed("not started: use `async with LocalAWS() as aws`")
        return self._status

    @property
    def endpoint_url(self) -> str:
        """The URL of every AWS service's API."""
        return self._running.endpoint_url

    @property
    def registry(self) -> str:
        """The registry's host:port, as in the names of images."""
        return self._running.registry

    @property
    def engine(self) -> str:
        """The engine in use: `docker`, `process` or `module:Class`."""
        return self._running.engine

    @property
    def region(self) -> str:
        return self._running.region

    @property
    def control_token(self) -> str:
        """The bearer token of the control paths, such as the one that `calls()` reads."""
        return self._running.control_token

    def calls(self) -> dict[str, dict[str, int]]:
        """Return the number of requests by access key (or `registry`) and operation."""
        return self._control(CALLS_PATH)

    def storm(self, seconds: float) -> None:
        """Refuse every second request for this time."""
        self._control(f"{STORM_PATH}?seconds={seconds}")

    def fault(self, kind: str, of: str = "*", **fields: Any) -> None:
        """Add a fault, which by default happens once. `fields` are those of faults.Fault."""
        self._control(FAULTS_PATH, "POST", json.dumps({"kind": kind, "of": of} | fields).encode())

    def clear_faults(self, kind: str = "") -> None:
        """Remove the faults of a kind, or all."""
        self._control(f"{FAULTS_PATH}?{kind}", "DELETE")

    def _control(self, path: str, method: str = "GET", body: bytes | None = None) -> dict[str, dict[str, int]]:
        login = {"Authorization": f"Bearer {self.control_token}"}
        request = Request(f"{self.endpoint_url}{path}", body, login, method=method)  # noqa: S310 - http, on this machine
        with urlopen(request) as response:  # noqa: S310
            counts: dict[str, dict[str, int]] = json.load(response)
        return counts

    def section(self) -> dict[str, Any]:
        """Return the `[executors.awsbatch]` settings that lead to this offline AWS."""
        return dict(self._running.section)
