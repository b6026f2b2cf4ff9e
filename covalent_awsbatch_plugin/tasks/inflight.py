# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which tasks are on their way in this process, so that a cancel finds them between submit and handle too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Node = tuple[str, int]  # dispatch id, node id


@dataclass(eq=False)
class Ticket:
    """One task group on its way. `cancelled` is set by whoever cancels any of its nodes."""

    nodes: tuple[Node, ...]
    job_id: str | None = None
    member: int | None = None  # where it shares a container, which of the job's tasks it is
    cancelled: bool = False
    submission: object = None  # what was submitted, kept while it may have to be submitted again
    _when_cancelled: list[Callable[[], object]] = field(default_factory=list)

    def cancel(self) -> None:
        """Says so, to those who wait for something too."""
        self.cancelled = True
        for told in self._when_cancelled:
            told()

    @contextmanager
    def telling(self, told: Callable[[], object]) -> Iterator[None]:
        """Calls that on a cancel in here."""
        self._when_cancelled.append(told)
        try:
            yield
        finally:
            self._when_cancelled.remove(told)


class InFlight:
    """Every ticket of this process, by node."""

    def __init__(self) -> None:
        self._tickets: dict[Node, Ticket] = {}

    def open(self, dispatch_id: str, node_ids: tuple[int, ...]) -> Ticket:
        """The group's ticket: an open one is handed out again, so that `poll` finds `send`'s."""
        nodes = tuple((dispatch_id, node) for node in node_ids)
        ticket = self._tickets.get(nodes[0]) or Ticket(nodes)
        self._tickets |= dict.fromkeys(nodes, ticket)
        return ticket

    def close(self, ticket: Ticket) -> None:
        """Forget a group that has ended."""
        for node in ticket.nodes:
            self._tickets.pop(node, None)

    def find(self, dispatch_id: str, node_id: int) -> Ticket | None:
        """The ticket of a node, None when it is not on its way here."""
        return self._tickets.get((dispatch_id, node_id))

    @contextmanager
    def closing_on_error(self, ticket: Ticket) -> Iterator[None]:
        """Keeps the ticket open only if all goes well."""
        try:
            yield
        except BaseException:
            self.close(ticket)
            raise
