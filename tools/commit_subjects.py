# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Check the subjects of commits: `area: imperative`, at most 72 characters. Prints each that breaks the rule.

Exit code 1 if there is one. Commits up to BASE are older than the rule.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BASE = "9e135e84fd238d18860214a8223f94d06d742e9b"
# Two commits were merged before the check ran.
LONGEST = 72
SUBJECT = re.compile(r"[a-z0-9][a-z0-9_./-]*(, [a-z0-9][a-z0-9_./-]*)*: (?P<verb>[a-z]+)(?P<rest>.*)")
NO_VERB = re.compile(r"(a|an|the|th(is|at|ese|ose|ere)|what|who|how|why|when|where|its?|all|no|one|\w*(ed|ing|[^s]s))")
VERB = re.compile(r"(\w*eed|embed|shed|bring|ping|string|focus|alias|bias)")


def complaint(subject: str) -> str:
    """Return what is wrong with a subject, or an empty text."""
    if len(subject) > LONGEST:
        return f"has {len(subject)} characters; {LONGEST} are allowed"
    match = SUBJECT.fullmatch(subject)
    if not match:
        return "is not `area: imperative`, both in lower case"
    verb = match["verb"]
    if NO_VERB.fullmatch(verb) and not VERB.fullmatch(verb):
        return f"opens with {verb!r}, which is no imperative verb"
    return "ends with a dot" if subject.endswith(".") else ""


def subjects() -> list[str]:
    """Return the subjects since BASE but those of merges. Raises CalledProcessError where BASE is not in the clone."""
    command = ["git", "log", "--no-merges", "--format=%s", f"{BASE}..HEAD"]
    project = Path(__file__).parent.parent
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout.splitlines()


def main() -> int:
    """Print each bad subject with its reason; return the exit code."""
    problems = [f"{subject}\n  {reason}" for subject in subjects() if (reason := complaint(subject))]
    print("\n".join(problems) or "commit subjects: ok")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
