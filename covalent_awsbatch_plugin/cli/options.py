# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Options that grow from the settings: named, typed and described by the setting itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..infra.stack_names import PATTERNS, SETTINGS
from ..infra.stack_settings import InfraSettings
from ..settings import Settings

Command = Callable[..., Any]
CONNECTION = ("credentials", "profile", "region")
NAMES = tuple(SETTINGS.values())


class Sectioned(click.Command):
    """Help tells of a command's own options first, then of what is made, then of the settings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "What to make": [], "Settings": []}
        for option in self.get_params(ctx):
            if told := option.get_help_record(ctx):
                sections[_section(option.name)].append(told)
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


def _section(name: str | None) -> str:
    if name in InfraSettings.model_fields:
        return "What to make"
    return "Settings" if name in Settings.model_fields else "Options"


def showing(*names: str) -> Callable[[Command], Command]:
    """Help tells of these settings alone. The others are taken as well, so that one set does for all commands."""

    def decorate(command: Command) -> Command:
        for option in command.__click_params__:  # type: ignore[attr-defined]
            option.hidden = _section(option.name) != "Options" and option.name not in names
        return command

    return decorate


def option_for(*names: str) -> Callable[[Command], Command]:
    """An option for each of these settings, in this order; one that isn't given is None."""

    def decorate(command: Command) -> Command:
        fields = {**Settings.model_fields, **InfraSettings.model_fields}
        for name in reversed(names):
            flag, field = f"--{name.replace('_', '-')}", fields[name]
            flags = f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag
            command = click.option(flags, name, default=None, help=f"{field.description}{_default(name)}")(command)
        return command

    return decorate


def _default(name: str) -> str:
    """What a new stack gets."""
    if name in InfraSettings.model_fields:
        default = InfraSettings.model_fields[name].default
        return "" if default == "" or isinstance(default, bool) else f"  [default: {default}]"
    patterns = {setting: PATTERNS[kind] for kind, setting in SETTINGS.items()}
    made = patterns.get(name, "").format(prefix="PREFIX", account="ACCOUNT", region="REGION")
    return f"  [default: {made}]" if made else ""
