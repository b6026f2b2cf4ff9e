# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a soak's tasks do, what befalls them and when, and what must come of each: all of it follows from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.local import faults

Outcome = type[errors.AWSBatchError] | None


@dataclass(frozen=True)
class Deed:
    """How a task ends where nothing ends its job for good; `settings` are its own, `weight` how often it is chosen."""

    outcome: Outcome
    weight: int
    settings: tuple[tuple[str, Any], ...] = ()


DEEDS = {
    "return": Deed(None, 6),
    "big": Deed(None, 3),
    "slow": Deed(None, 3),
    "raise": Deed(errors.Raised, 4),
    "exit": Deed(errors.Exited, 3),
    "abort": Deed(errors.Killed, 3),
    "overtime": Deed(errors.TimedOut, 1, (("time_limit", 60),)),
    "eat": Deed(errors.OutOfMemory, 1, (("memory", 0.25),)),
    "wait": Deed(errors.Cancelled, 3),  # until somebody cancels it
}
SHORT = ("return", "big", "slow", "raise", "exit", "abort")
VALUES = ("return", "big", "slow")
PULLS = list(faults.PULLS.values())
LUCK = {
    "": 10, faults.HOST_LOST: 2, faults.SPOT: 2, faults.NOT_STARTED: 2, faults.AGENT: 1, faults.UNSEEN: 2,
    faults.LATE_LOG: 1, faults.STUCK: 1,
}  # fmt: skip
KILLS = 2  # of each client that is killed, before it may end


@dataclass(frozen=True)
class Plan:
    """One task. `luck` is what happens to its job: a kind of fault, or nothing; `starts_s` when it is sent.

    `cancel_s` is how long after that it is cancelled; `client` the number of the process that sends it and is killed.
    """

    number: int
    deed: str
    starts_s: float
    luck: str = ""
    hits: int = 1
    text: str = ""
    cancel_s: float | None = None
    client: int | None = None

    @property
    def never_starts(self) -> bool:
        return self.luck == faults.NOT_STARTED and self.hits >= 3

    @property
    def expected(self) -> Outcome:
        if self.never_starts:
            return errors.RoleNotAssumable if self.text == faults.ROLE else errors.ImagePullFailed
        return DEEDS[self.deed].outcome

    @property
    def runs(self) -> range:
        """How often the function may have begun."""
        if self.never_starts:
            return range(1)
        again = self.hits if self.luck in faults.LOSSES else 0
        return range(0 if self.cancel_s is not None else 1, 2 + again)


def plans(seed: int, tasks: int, seconds: float, clients: int = 0) -> list[Plan]:
    """A quarter of the tasks is sent by the `clients`, where there are any."""
    dice = random.Random(seed)
    theirs = tasks // 4 if clients else 0
    own = [_plan(dice, number, seconds) for number in range(tasks - theirs)]
    return own + [
        Plan(len(own) + at, dice.choice(VALUES), dice.uniform(0, 4), client=at % clients) for at in range(theirs)
    ]


def _plan(dice: random.Random, number: int, seconds: float) -> Plan:
    starts_s = dice.uniform(0, seconds)
    luck = dice.choices(list(LUCK), list(LUCK.values()))[0]
    if not luck:
        deed = dice.choices(list(DEEDS), [deed.weight for deed in DEEDS.values()])[0]
        return Plan(number, deed, starts_s, cancel_s=dice.uniform(0, 4) if deed == "wait" else None)
    deed = "slow" if luck in faults.LOSSES else dice.choice(SHORT)
    text = dice.choice([*PULLS, faults.ROLE]) if luck == faults.NOT_STARTED else ""
    hits = dice.choice((1, 2, 3)) if luck == faults.NOT_STARTED else dice.choice((1, 2))
    return Plan(number, deed, starts_s, luck, hits, text)
