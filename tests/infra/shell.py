# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line as a user has it: a process, a home of its own, and Terraform with the providers of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.nothing_left_out import PROVIDERS

ROOT = Path(__file__).parents[2]


@dataclass
class Shell:
    """`home` is a new user's; `more` is set in the environment."""

    home: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        told = {"HOME": str(self.home), "PYTHONPATH": str(ROOT), "TF_CLI_CONFIG_FILE": str(self._terraformrc())}
        return {**os.environ, **told, **self.more}

    def _terraformrc(self) -> Path:
        """Providers come from this machine's folder, and from nowhere else."""
        path = self.home / "terraformrc"
        mirror = f'filesystem_mirror {{ path = "{os.environ.get(PROVIDERS, "")}" }}'
        path.write_text(f"provider_installation {{\n  {mirror}\n}}\n")
        return path

    def where(self, **more: str) -> Shell:
        """The same user, with more in the environment."""
        return Shell(self.home, {**self.more, **more})

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Starts a command of ours in a process group of its own, as a terminal would."""
        command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Everything a command of ours prints; it ends with `code`."""
        process = self.begin(*words)
        told, _ = process.communicate()
        assert process.returncode == code, told
        return told

    def terraform(self, folder: Path, *words: str) -> str:
        """Terraform itself."""
        command = ["terraform", *words]
        done = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
