# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One task's way: pack, ship, submit, watch, collect, cancel."""

from .connection import cloud
from .inflight import InFlight

IN_FLIGHT = InFlight()  # of this process: `cancel` comes to another instance of the executor than `send`

__all__ = ["IN_FLIGHT", "cloud"]
