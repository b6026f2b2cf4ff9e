# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Advice for Terraform's errors: the statement of a missing permission, a name that is in use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..errors import InfraFailed
from .deployer_policy import allowing

# IAM's sentence, which most services repeat: .../IAM/latest/UserGuide/troubleshoot_access-denied.html
DENIED = re.compile(r"is not authorized to perform: (?P<action>[a-z0-9-]+:\w+)(?: on resource: (?P<resource>\S+))?")
# An answer to HEAD has no sentence; the provider names the operation.
FORBIDDEN = re.compile(r"operation error (?P<service>\w+): (?P<operation>\w+), .*StatusCode: 403")
NOT_THE_OPERATION = {"s3:HeadBucket": "s3:ListBucket"}
TAKEN = re.compile(r"already ?(exists|owned)|\.Duplicate", re.IGNORECASE)
LOCKED = "Error acquiring the state lock"
ON_AGAIN = "Then run the same command again: it continues where it stopped."


def failed(command: str, messages: Sequence[str]) -> InfraFailed:
    """Return the error of a Terraform command that failed; `messages` are Terraform's."""
    return InfraFailed(
        f"`terraform {command}` failed. The resources that it has created are recorded in its state.",
        says="\n".join(f"Terraform says: {text.strip()}" for text in messages),
        advice="\n".join([*dict.fromkeys(mends(messages)), ON_AGAIN]),
    )


def mends(messages: Sequence[str]) -> Iterator[str]:
    """Yield advice for the deployer, one sentence for each kind of error in the messages."""
    denied = [denial for text in messages for denial in _denied(text)]
    for action, resource in denied:
        names = " and ".join(f"`{sid}`" for sid in allowing(action, resource))
        yield f"Your permissions lack {action}" + (
            f"; `covalent-awsbatch iam --role deployer`, with the options of this run, prints the statement {names}."
            if names
            else "."
        )
    in_use = any(TAKEN.search(text) for text in messages)
    if in_use:
        yield (
            "A resource of this name exists and is not in this stack's state; an earlier run may have been stopped"
            " just after"
            " creating it. Delete it if it is not needed, or choose another --prefix."
        )
    locked = any(LOCKED in text for text in messages)
    if locked:
        yield "Another run of this stack is active, perhaps an interrupted one: wait for its end."
    if not (denied or in_use or locked):
        yield "Correct what Terraform names."


def _denied(text: str) -> list[tuple[str, str]]:
    pairs = [(match["action"], (match["resource"] or "").rstrip(".,")) for match in DENIED.finditer(text)]
    if pairs or not (match := FORBIDDEN.search(text)):
        return pairs
    action = f"{match['service'].lower()}:{match['operation']}"
    return [(NOT_THE_OPERATION.get(action, action), "")]
