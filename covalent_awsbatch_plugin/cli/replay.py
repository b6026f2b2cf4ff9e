# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `replay`: run a task of an ended job again on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..settings import Settings
from .options import CONNECTION, showing
from .root import main, progress, resolved, settings_options, with_services

if TYPE_CHECKING:
    from ..tasks.replayed_task import TaskPlace
    from ..tasks.services import Services
    from .replay_files import Fetched


@main.command()
@click.argument("job")
@click.argument("node", type=int, required=False)
@click.option("--pdb", "stop", is_flag=True, help="Stop in Python's debugger at the line that raises.")
@click.option("--shell", is_flag=True, help="Open a shell with the task's image, variables and inputs.")
@click.option("--code", type=click.Choice(["here"]), help="Run the function as its file on this machine has it now.")
@click.option("--engine", type=click.Choice(["process", "docker"]), default="process", show_default=True,
              help="Run it as a process with this Python, or in a container.")  # fmt: skip
@click.option("--trust", is_flag=True, help="Run a job that another machine submitted; its pickles run code here.")
@showing(*CONNECTION)
@settings_options
def replay(
    job: str, node: int | None, stop: bool, shell: bool, code: str | None, engine: str, trust: bool, **options: Any
) -> None:
    """Run a task again on this machine, with the image, inputs and variables of its job.

    JOB is a job id (ID:NUMBER for a task of an array); with NODE it is a dispatch or a pool, and NODE its node or call.
    Nothing is written to AWS. Exit code 0 if the task returned a value here, 1 if it raised an error.

    \b
      covalent-awsbatch replay 8a7c0f5e-...-3b1d --pdb
      covalent-awsbatch replay 4c1f... 3 --code here    # after the function was mended
      covalent-awsbatch replay simulation 17 --engine docker
    """
    from ..tasks.replayed_task import place_of_job, place_of_node

    if stop and shell:
        raise click.UsageError("Give one of --pdb and --shell.")
    if code and engine == "docker":
        raise click.UsageError("--code here needs --engine process: a container does not see this machine's files.")
    settings = resolved(options)
    place = place_of_job(job) if node is None else place_of_node(job, node)
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-") as folder:  # 0700
        scratch = Path(folder)
        fetched = with_services(settings, lambda services: _fetch(services, settings, place, engine, trust, scratch))
        words = ["--pdb"] * stop + ["--code-here"] * bool(code)
        argv, environment, cwd = _command(fetched, engine, words, scratch, shell=shell)
        sys.stdout.flush()
        code_of_task = subprocess.run(argv, env=environment, cwd=cwd, check=False).returncode
    sys.exit(code_of_task)


async def _fetch(
    services: Services, settings: Settings, place: TaskPlace, engine: str, trust: bool, scratch: Path
) -> Fetched:
    from ..tasks.replayed_task import recorded_task
    from .replay_files import fetch

    task = await recorded_task(services, place, trust=trust)
    progress(f"Fetching the image of {task.name} ...")
    return await fetch(services, settings, task, scratch, whole=engine == "process")


def _command(
    fetched: Fetched, engine: str, words: list[str], scratch: Path, *, shell: bool
) -> tuple[list[str], dict[str, str], Path]:
    """Return the command, its variables and its working directory."""
    if engine == "docker":
        return _docker(fetched, words, shell=shell), dict(os.environ), Path.cwd()
    from ..local.engines.base import Container
    from ..local.engines.process import prepared

    folder = scratch / "process"
    folder.mkdir()
    argv = [os.environ.get("SHELL") or "/bin/sh"] if shell else fetched.argv(words, str(fetched.objects))
    variables = dict(fetched.task.environment) | {"TERM": os.environ.get("TERM", "dumb")}
    start = prepared(argv, Container("replay", fetched.task.image, [], variables, 0, 0), fetched.image, folder)
    if shell:
        progress(f"The image is in {fetched.image.root}; python3 is this machine's, with the packages of the image.")
        progress(f"This runs the task: {shlex.join(fetched.argv(words, str(fetched.objects)))}")
    return start.argv, start.environment, start.folder


def _docker(fetched: Fetched, words: list[str], *, shell: bool) -> list[str]:
    from .replay_files import OBJECTS_IN_CONTAINER

    program = ["--entrypoint", "sh", fetched.task.image] if shell else [
        "--entrypoint", "python3", fetched.task.image, *fetched.argv(words, OBJECTS_IN_CONTAINER)[1:],
    ]  # fmt: skip
    variables = [word for name, value in fetched.task.environment.items() for word in ("-e", f"{name}={value}")]
    terminal = ["-it"] if sys.stdin.isatty() else ["-i"]
    mount = ["-v", f"{fetched.objects}:{OBJECTS_IN_CONTAINER}:ro", "--platform", fetched.platform]
    return ["docker", "run", "--rm", *terminal, *mount, *variables, *program]
