# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The handle of a submitted job, which Covalent keeps and the ledger notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..runner.protocol import layout


@dataclass(frozen=True)
class JobHandle:
    """The facts by which any process of this user finds a job and its result again. Plain JSON without secrets.

    `job_id` is the child's id `parent:index` where the job is an array. `member` is the task's number in the whole job
    where several tasks share a container, else None. `name` is the name of the first electron, `names` holds the names
    of the others by node id.
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
        return dict(vars(self))  # flat: `asdict` would look into each string

    @classmethod
    def from_json(cls, body: Any) -> JobHandle | None:
        """Return the handle of a JSON body, or None for any other value.

        Covalent passes None for a task without a job, and another version's handle may have other fields.
        """
        try:
            return cls(**body)
        except TypeError:
            return None
