# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What Terraform blames, with what mends it: a missing permission's statement, a name that is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..errors import InfraFailed
from .deployer_policy import allowing

# IAM's sentence, which most services hand on: .../IAM/latest/UserGuide/troubleshoot_access-denied.html
DENIED = re.compile(r"is not authorized to perform: (?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?")
# Where there is no sentence, as in an answer to HEAD, the provider still says what it asked.
FORBIDDEN = re.compile(r"operation error (?P<service>\w+): (?P<operation>\w+), .*StatusCode: 403")
NOT_THE_OPERATION = {"s3:HeadBucket": "s3:ListBucket"}
TAKEN = re.compile(r"already ?(exists|owned)|\.Duplicate", re.IGNORECASE)
LOCKED = "Error acquiring the state lock"
ON_AGAIN = "Then run the same command again: it goes on where it stopped."


def failed(command: str, blamed: Sequence[str]) -> InfraFailed:
    """The letter for a Terraform command that ended badly; `blamed` are its own texts."""
    return InfraFailed(
        f"`terraform {command}` did not succeed. What it had made is in its state.",
        says="\n".join(f"Terraform says: {text.strip()}" for text in blamed),
        advice="\n".join([*dict.fromkeys(mends(blamed)), ON_AGAIN]),
    )


def mends(blamed: Sequence[str]) -> Iterator[str]:
    """A sentence for each thing that whoever makes the infrastructure can do about these texts."""
    denied = [found for text in blamed for found in _denied(text)]
    for action, resource in denied:
        names = " and ".join(f"`{sid}`" for sid in allowing(action, resource))
        yield f"Your own permissions lack {action}" + (
            f"; `covalent-awsbatch iam --role deployer`, with the options of this run, prints the statement {names}."
            if names
            else "."
        )
    taken = any(TAKEN.search(text) for text in blamed)
    if taken:
        yield (
            "What exists already is not in this stack's state; perhaps an earlier run was stopped or refused just after"
            " making it. Delete it if nobody needs it, or give this stack names of its own with --prefix."
        )
    locked = any(LOCKED in text for text in blamed)
    if locked:
        yield "Another run of this stack is under way, perhaps one that was interrupted: wait for its end."
    if not (denied or taken or locked):
        yield "Mend what it names."


def _denied(text: str) -> list[tuple[str, str]]:
    told = [(found["action"], (found["resource"] or "").rstrip(".,")) for found in DENIED.finditer(text)]
    if told or not (found := FORBIDDEN.search(text)):
        return told
    action = f"{found['service'].lower()}:{found['operation']}"
    return [(NOT_THE_OPERATION.get(action, action), "")]
