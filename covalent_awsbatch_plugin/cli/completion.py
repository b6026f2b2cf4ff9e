# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command `completion`: what a shell runs to complete this command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .root import main


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script with which a shell completes commands and options.

    \b
      covalent-awsbatch completion bash > ~/.local/share/bash-completion/completions/covalent-awsbatch
      covalent-awsbatch completion zsh > "${fpath[1]}/_covalent-awsbatch"
      covalent-awsbatch completion fish > ~/.config/fish/completions/covalent-awsbatch.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(main, {}, "covalent-awsbatch", "_COVALENT_AWSBATCH_COMPLETE").source())
