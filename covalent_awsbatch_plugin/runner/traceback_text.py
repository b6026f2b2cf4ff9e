# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The text of a task's exception for the client: the remote traceback, and advice where the cause is known."""

from __future__ import annotations

import pickle
import signal
import subprocess
import traceback
from pathlib import Path
from types import TracebackType

_HERE = str(Path(__file__).parent)
_TAIL_LINES = 40


def text(error: BaseException, name: str, node_id: int, covalent: str) -> str:
    """Return the traceback without the runner's frames, the output of a failed command, and advice."""
    exception = traceback.TracebackException(type(error), error, _users_part(error.__traceback__))
    lines = "".join(exception.format())
    extras = [*_command_output(error), *_advice(error, name, node_id, covalent)]
    return "\n".join([lines.rstrip("\n"), *(f"\n{extra}" for extra in extras)]) + "\n"


def type_name(error: BaseException) -> str:
    """Return the qualified name of an exception's class; without a module for a built-in one."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def pickled(error: BaseException) -> bytes | None:
    """Return the pickle of the exception, for the client to raise again; None where it can't be unpickled."""
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(error)
        return data if isinstance(pickle.loads(data), BaseException) else None
    except Exception:  # noqa: BLE001 - the user's own class runs here, and the client gets the traceback's text anyway
        return None


def signal_name(number: int) -> str:
    """Return a signal's number and name, such as "signal 9 (SIGKILL)"."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame that is not the runner's."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return trace


def _command_output(error: BaseException) -> list[str]:
    """Return the output of a failed command: its error message has only the exit code."""
    if not isinstance(error, subprocess.CalledProcessError):
        return []
    streams = (("stdout", error.stdout), ("stderr", error.stderr))
    return [f"Its {name} ended:\n{_tail(output)}" for name, output in streams if output]


def _tail(output: str | bytes) -> str:
    lines = (output.decode("utf-8", "replace") if isinstance(output, bytes) else output).rstrip().splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _advice(error: BaseException, name: str, node_id: int, covalent: str) -> list[str]:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return []
    missing = error.name.partition(".")[0]
    if missing == "covalent":
        version = f"covalent=={covalent}" if covalent else "covalent, of the client's version"
        return [
            f"Node {node_id} ({name!r}) needs Covalent itself, and the image has none. Use a base image "
            f"(container_image_uri) that contains {version}; if Covalent added the node (post-processing, "
            'the start of a sublattice), run it outside AWS Batch: workflow_executor="local" on the lattice.'
        ]
    return [
        f"The image has no module {missing!r}, which node {node_id} ({name!r}) needs. Add the package that has it to "
        "the setting `environment`, by its name on the package index, or to the base image (container_image_uri). A "
        f'module of your own is sent by environment="auto", or by deps_module={missing!r} of the electron.'
    ]
