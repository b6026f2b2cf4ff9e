# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Make docs/report.png, or with a folder pictures of the report in several sizes and colours, and print its times.

make browser && PYTHONPATH=. .venv/bin/python tools/screenshots.py [FOLDER]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from covalent_awsbatch_plugin.cli.report_page import page
from covalent_awsbatch_plugin.tasks.report_figures import report_figures
from tests.cli.browser import browser_tab
from tests.cli.example_events import example_events

DOCS = Path(__file__).parents[1] / "docs"


async def main(folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "page.html"
        path.write_text(page(report_figures("example", example_events(120))))
        async with browser_tab(Path(name) / "profile") as tab:
            await tab.look(width=1000, height=1100)
            await tab.open(path.as_uri())
            await tab.screenshot(folder / "light.png" if folder else DOCS / "report.png")
            if folder:
                await tab.look(dark=True, width=1000, height=1100)
                await tab.screenshot(folder / "dark.png")
                await tab.look(width=390, height=1600)
                await tab.screenshot(folder / "narrow.png")
                await tab.look(width=1000, height=1400)
                path.write_text(page(report_figures("example", example_events(10_000))))
                await tab.open(path.as_uri())
                await tab.screenshot(folder / "many.png")
                frame = (
                    "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(performance.now()))))"
                )
                drawn_ms = await tab.value(frame)
                print(f"10,000 tasks: {path.stat().st_size:,} bytes, drawn {drawn_ms:.0f} ms after the request")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
