# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Command line options made from the settings: name, type and description are the setting's."""

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
GROUPS = {
    "Run": ("hello", "replay", "collect", "env"),
    "See": ("jobs", "pools", "logs", "why", "report", "explain"),
    "Set up": ("local", "infra", "iam", "doctor", "check", "completion"),
    "Clean up": ("reap", "clean"),
}


MOST_SETTINGS = 8  # in the help of a command; where it has more, --help-settings lists them


class Sectioned(click.Command):
    """A command whose help lists its own options first, then those of the stack, then the settings if they are few.

    With all settings a help would have a hundred lines: `--help-settings` lists them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if any(_section(option.name) == "Settings" for option in self.params):
            self.params.append(_help_settings())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Stack": [], "Settings": []}
        for option in self.get_params(ctx):
            if record := option.get_help_record(ctx):
                sections[_section(option.name)].append(record)
        if len(sections["Settings"]) > MOST_SETTINGS:
            del sections["Settings"]
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


def _help_settings() -> click.Option:
    """Return the option that lists all settings of its command, also those that its help leaves out."""

    def show(ctx: click.Context, option: click.Parameter, is_given: bool) -> None:
        if not is_given or ctx.resilient_parsing:
            return
        formatter = ctx.make_formatter()
        for each in ctx.command.get_params(ctx):
            if _section(each.name) == "Settings" and isinstance(each, click.Option):
                each.hidden = False
        lines = [each.get_help_record(ctx) for each in ctx.command.get_params(ctx) if _section(each.name) == "Settings"]
        with formatter.section("Settings"):
            formatter.write_dl([line for line in lines if line])
        click.echo(formatter.getvalue().rstrip("\n"))
        ctx.exit()

    words = "List the settings: each one is an option of this command, too."
    return click.Option(["--help-settings"], is_flag=True, is_eager=True, expose_value=False, callback=show, help=words)


class Grouped(click.Group):
    """A group whose help lists its commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = set(self.list_commands(ctx)).difference(*GROUPS.values())
        width = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
        for title, names in {**GROUPS, "Others": sorted(others)}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            lines = [(name, command.get_short_help_str(width)) for name, command in commands if command]
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


def _section(name: str | None) -> str:
    if name in InfraSettings.model_fields:
        return "Stack"
    return "Settings" if name in Settings.model_fields else "Options"


def showing(*names: str) -> Callable[[Command], Command]:
    """Show only these settings in the command's help; the others are accepted too."""

    def decorate(command: Command) -> Command:
        for option in command.__click_params__:  # type: ignore[attr-defined]
            option.hidden = _section(option.name) != "Options" and option.name not in names
        return command

    return decorate


def option_for(*names: str) -> Callable[[Command], Command]:
    """Add an option for each of these settings, in this order; an option that is not given is None."""

    def decorate(command: Command) -> Command:
        fields = {**Settings.model_fields, **InfraSettings.model_fields}
        for name in reversed(names):
            flag, field = f"--{name.replace('_', '-')}", fields[name]
            flags = f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag
            command = click.option(flags, name, default=None, help=f"{field.description}{_default(name)}")(command)
        return command

    return decorate


def _default(name: str) -> str:
    """Return the default of a new stack, as help shows it."""
    if name in InfraSettings.model_fields:
        default = InfraSettings.model_fields[name].default
        return "" if default == "" or isinstance(default, bool) else f"  [default: {default}]"
    patterns = {setting: PATTERNS[kind] for kind, setting in SETTINGS.items()}
    name_pattern = patterns.get(name, "").format(prefix="PREFIX", account="ACCOUNT", region="REGION")
    return f"  [default: {name_pattern}]" if name_pattern else ""
