# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The handle of a submitted job, which Covalent keeps and the ledger notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from ..errors import UnknownFormat
from ..runner.protocol import layout

VERSION = 2  # added `submission` and `dispatch_id`; handles of version 1 name no version
READABLE_VERSIONS = (1, VERSION)


@dataclass(frozen=True)
class JobHandle:
    """The facts by which any process of this user finds a job and its result again. Plain JSON without secrets.

    `job_id` is the child's id `parent:index` where the job is an array. `member` is the task's number in the whole job
    where several tasks share a container, else None. `name` is the name of the first electron, `names` holds the names
    of the others by node id. `submission` and `dispatch_id` are empty in a handle of version 1.
    """

    job_id: str
    name: str
    content: str
    bucket: str
    prefix: str
    image: str
    member: int | None = None
    definition: str = ""
    payload: str = ""  # key of the object that the task came in; "": it came in the image
    names: dict[str, str] = field(default_factory=dict, hash=False)
    submission: str = ""  # value of the job's tag TAG_SUBMISSION, which no other job has
    dispatch_id: str = ""

    def is_at(self, here: tuple[str, str]) -> bool:
        """Return whether the job is in this Region and account; a handle of the ledger may be of another."""
        return not self.definition or tuple(self.definition.split(":")[3:5]) == here

    def name_of(self, node_id: int | None) -> str:
        """Return the name of an electron."""
        return self.names.get(str(node_id), self.name)

    @property
    def result_id(self) -> str:
        """The id under which the task writes its result: the job's id, plus a number where tasks share a container."""
        return self.job_id if self.member is None else layout.member_id(self.job_id, self.member)

    def to_json(self) -> dict[str, Any]:
        """Return the handle as Covalent keeps it in its jobs table."""
        return {"version": VERSION, **vars(self)}  # flat: `asdict` would look into each string

    @classmethod
    def from_json(cls, body: Any) -> JobHandle | None:
        """Return the handle of a JSON body, or None for None, which Covalent passes for a task without a job.

        Raises UnknownFormat for a body that this version can't read, and names what to do.
        """
        if body is None:
            return None
        if not isinstance(body, Mapping):
            raise _unknown(f"is {body!r:.200}", str(body))
        version, fields = body.get("version", 1), {name: value for name, value in body.items() if name != "version"}
        if type(version) is not int or version not in READABLE_VERSIONS:
            raise _unknown(f"has format {version!r:.20}", fields.get("job_id"))
        odd = [name for name, value in fields.items() if type(value) not in _TYPES.get(name, ())]
        lacking = [name for name in _REQUIRED if name not in fields]
        if odd or lacking or not _are_names(fields.get("names", {})):
            raise _unknown(f"has other fields ({', '.join(odd + lacking) or 'names'})", fields.get("job_id"))
        return cls(**fields)


_REQUIRED = ("job_id", "name", "content", "bucket", "prefix", "image")
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys((*_REQUIRED, "definition", "payload", "submission", "dispatch_id"), (str,)),
    "member": (int, NoneType),
    "names": (dict,),
}


def _are_names(names: Mapping[Any, Any]) -> bool:
    return all(type(key) is str and type(value) is str for key, value in names.items())


def _unknown(reason: str, job_id: Any) -> UnknownFormat:
    """Return the error for a body that is no handle of this version."""
    formats = " and ".join(map(str, READABLE_VERSIONS))
    job = job_id if isinstance(job_id, str) and job_id else "JOB_ID"
    return UnknownFormat(
        f"The handle of a job {reason}, and this covalent-awsbatch-plugin reads handles of formats {formats}.",
        advice="Use the version of covalent-awsbatch-plugin that submitted the job, or end the job with "
        f"`aws batch terminate-job --job-id {job} --reason 'submitted by another version'`.",
    )
