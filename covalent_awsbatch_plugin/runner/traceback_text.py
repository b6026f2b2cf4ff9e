# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""How an exception is told to somebody who was not there: the remote traceback, and what to do where we know it."""

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
    """The traceback without our own frames, what a failed command printed, and advice."""
    told = traceback.TracebackException(type(error), error, _users_part(error.__traceback__))
    told_text = "".join(told.format())
    extras = [*_printed(error), *_advice(error, name, node_id, covalent)]
    return "\n".join([told_text.rstrip("\n"), *(f"\n{extra}" for extra in extras)]) + "\n"


def type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def pickled(error: BaseException) -> bytes | None:
    """The exception for the client to raise again; None where it does not survive the journey."""
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(error)
        return data if isinstance(pickle.loads(data), BaseException) else None
    except Exception:  # noqa: BLE001 - the user's own class runs here, and the traceback's text travels anyway
        return None


def signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """From the first frame that isn't ours."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return trace


def _printed(error: BaseException) -> list[str]:
    """What a failed command printed: its message says only the exit code."""
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
            f"(container_image_uri) that contains {version}; if the node is one that Covalent made (post-processing, "
            'the start of a sublattice), run it outside AWS Batch: workflow_executor="local" on the lattice.'
        ]
    return [
        f"The image has no module {missing!r}, which node {node_id} ({name!r}) needs. Install it for this electron "
        f'(deps_pip=ct.DepsPip(packages=["{missing}"]), by its name on the package index) or in the base image '
        f"(container_image_uri); a module of your own travels with deps_module={missing!r}."
    ]
