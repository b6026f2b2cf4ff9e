# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An engine that runs a job as a process on this machine, without a container and without isolation.

It unpacks the image's layers. `python3` is the interpreter that runs this module, with the packages of the image alone,
and an absolute path in the command is replaced where it exists in the image. Memory is watched, not limited: RLIMIT_AS
counts address space, of which numpy and threads reserve much more than they use.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from . import proc
from .base import Container, Exit, Login, StartFailed, stop_signal
from .container_python import NAMES, make_python
from .image_cache import Image, ImageCache

NOT_FROM_THE_IMAGE = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG")
WATCH_EVERY_S = 0.2
DRAIN_S = 5.0  # longest time to read output after the first process has ended


class ProcessEngine:
    """The engine of processes. It owns `folder`; `registry` (host:port) accepts the user AWS with `password`."""

    name = "process"
    note = (
        "engine process: no container engine is used. Jobs run as processes of this user, with this Python and the "
        "packages of their image, without isolation; memory is watched, CPU is not limited."
    )

    def __init__(self, folder: Path, registry: str, password: str) -> None:
        self._folder = folder
        self._images = ImageCache(folder, registry, password)
        self._waiters = ThreadPoolExecutor(256, thread_name_prefix="wait")  # threads start when they are needed

    async def pull(self, image: str, login: Login | None = None) -> None:
        await self._images.pull(image, login)

    async def keep(self, image: str) -> None:
        """Unpack a base image before the first job needs its packages. Raises PullFailed."""
        await self._images.pull(image)

    async def start(self, container: Container, on_output: Callable[[bytes], None]) -> RunningProcess:
        image = self._images.pulled(container.image)
        scratch = Path(mkdtemp(prefix=proc.SCRATCH, dir=self._folder))
        argv = [*(image.config.get("Entrypoint") or ()), *(container.command or image.config.get("Cmd") or ())]
        start = prepared(argv, container, image, scratch)
        reader, writer = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - returns as soon as the program runs
                start.argv,
                cwd=start.folder,
                env=start.environment,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
            )
        except (OSError, IndexError) as error:
            os.close(reader)
            shutil.rmtree(scratch, ignore_errors=True)
            raise StartFailed(f"Error response from daemon: exec: {' '.join(argv[:1])!r}: {error}: unknown") from error
        finally:
            os.close(writer)
        limit, stop = container.memory_mib << 20, stop_signal(image.config)
        return RunningProcess(process, scratch, limit, self._waiters, await _pump(reader, on_output), stop)

    async def close(self) -> None:
        await self._images.close()
        self._waiters.shutdown(wait=False, cancel_futures=True)


class RunningProcess:
    """A job's processes, with their memory limit, their stop signal and a scratch folder."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        scratch: Path,
        memory_bytes: int,
        waiters: ThreadPoolExecutor,
        output: asyncio.Task[None],
        stop: int = signal.SIGTERM,
    ) -> None:
        self._process, self._scratch, self._output, self._stop = process, scratch, output, stop
        loop = asyncio.get_running_loop()
        self._code = loop.run_in_executor(waiters, process.wait)
        self._watch = loop.create_task(self._watch_memory(memory_bytes))
        self._out_of_memory = False

    async def wait(self) -> Exit:
        code = await asyncio.shield(self._code)
        self._end_the_rest()
        await asyncio.wait({self._output}, timeout=DRAIN_S)
        return Exit(code if code >= 0 else 128 - code, self._out_of_memory)

    async def signal(self, number: int) -> None:
        """Send a signal to the first process, as in a container; SIGKILL goes to all, SIGTERM is the stop signal."""
        if self._code.done():
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(self._stop if number == signal.SIGTERM else number)

    async def close(self) -> None:
        self._watch.cancel()
        await self.signal(signal.SIGKILL)
        await self._code
        self._end_the_rest()
        self._output.cancel()
        await asyncio.gather(self._output, self._watch, return_exceptions=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _end_the_rest(self) -> None:
        """Kill the other processes, which end with the first in a container, by their group and by their TMPDIR."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        proc.kill_by_environment(f"TMPDIR={self._scratch / 'tmp'}")

    async def _watch_memory(self, limit: int) -> None:
        while not self._code.done():
            await asyncio.sleep(WATCH_EVERY_S)
            memory = proc.memory_of(self._process.pid)
            if sum(memory.values()) > limit and not self._code.done():
                self._out_of_memory = True
                with suppress(ProcessLookupError):
                    os.kill(max(memory, key=lambda pid: memory[pid]), signal.SIGKILL)  # the biggest, as the kernel


async def _pump(reader: int, on_output: Callable[[bytes], None]) -> asyncio.Task[None]:
    """Return a task that passes a pipe's data to `on_output` until all writers have closed it."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reader, "rb", buffering=0)
    )

    async def forward() -> None:
        try:
            while data := await stream.read(1 << 16):
                on_output(data)
        finally:
            transport.close()

    return loop.create_task(forward())


@dataclass(frozen=True)
class Start:
    """The start of a process of an image: its words, its variables and its working directory."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path


def prepared(argv: list[str], container: Container, image: Image, scratch: Path) -> Start:
    """Return how a command in the image is started on this machine; `scratch` is an empty folder of its own."""
    programs = make_python(scratch / "python", image.packages)
    environment = _environment(container, image, scratch, programs)
    return Start(_in_root(argv, image.root, programs), environment, _workdir(image))


def _environment(container: Container, image: Image, scratch: Path, programs: Path) -> dict[str, str]:
    """Return the container's variables, without those of this process but LD_LIBRARY_PATH."""
    image_variables = dict(each.partition("=")[::2] for each in image.config.get("Env") or ())
    environment = {k: ":".join(_map(part, image.root) for part in v.split(":")) for k, v in image_variables.items()}
    for name in NOT_FROM_THE_IMAGE:
        environment.pop(name, None)
    home, tmp, secret = scratch / "home", scratch / "tmp", scratch / "secret"
    home.mkdir()
    tmp.mkdir()
    environment |= {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    environment |= {"HOME": str(home), "TMPDIR": str(tmp)}
    if library_path := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = library_path
    environment |= container.environment
    if container.secret is not None:
        secret.touch(mode=0o600)
        secret.write_bytes(container.secret)
        environment[container.secret_variable] = str(secret)
    return environment


def _in_root(argv: list[str], root: Path, programs: Path) -> list[str]:
    program = argv[0]
    name = program.rpartition("/")[2]
    if name in NAMES and not (root / program.lstrip("/")).is_file():
        program = str(programs / name)
    return [_map(program, root), *(_map(word, root) for word in argv[1:])]


def _map(word: str, root: Path) -> str:
    """Return the path on this machine of an absolute path in the image. Other words stay unchanged."""
    if not word.startswith("/") or word == "/" or "\0" in word:
        return word
    path = root / word.lstrip("/")
    try:
        return str(path) if path.exists() else word
    except OSError:  # too long for a name: text that begins with a slash
        return word


def _workdir(image: Image) -> Path:
    folder = image.root / (image.config.get("WorkingDir") or "/").lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
