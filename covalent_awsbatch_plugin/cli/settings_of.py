# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Options that grow from the settings: named, typed and described by the setting itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..thought.infra_settings import InfraSettings
from ..thought.settings import Settings

Command = Callable[..., Any]


def option_for(*names: str) -> Callable[[Command], Command]:
    """An option for each of these settings, in this order; one that isn't given is None."""

    def decorate(command: Command) -> Command:
        fields = {**Settings.model_fields, **InfraSettings.model_fields}
        for name in reversed(names):
            flag, field = f"--{name.replace('_', '-')}", fields[name]
            flags = f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag
            command = click.option(flags, name, default=None, help=field.description)(command)
        return command

    return decorate
