# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`report` shows a dispatch on one page, which a real browser draws, and whose figures are those of the events."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.cli.report_page import page
from covalent_awsbatch_plugin.cli.report_server import ReportServer
from covalent_awsbatch_plugin.tasks.event_log import EventLog
from covalent_awsbatch_plugin.tasks.events import Event, Kind
from covalent_awsbatch_plugin.tasks.report_figures import State, report_figures
from tests.cli.browser import AXE, CHROMIUM, browser_tab
from tests.cli.example_events import BEGAN, example_events
from tests.cli.shell import COMMAND, environment, run

needs_browser = pytest.mark.skipif(not (CHROMIUM and AXE.exists()), reason="`make browser` installs it")


def recorded(events: list[Event]) -> None:
    log = EventLog()
    for event in events:
        log.record(event.kind, event.dispatch_id, event.node_ids, at=event.time, **event.figures)
    log.close()


def test_figures_are_those_of_the_events() -> None:
    report = report_figures("example", example_events(100))
    assert (report.count(State.SUCCEEDED), report.count(State.FAILED), report.is_over) == (98, 2, True)
    (cause,) = report.failures()
    assert (cause.error, cause.reason, cause.nodes) == ("ZeroDivisionError", "division by zero", (49, 99))
    seconds = sum(each.seconds or 0 for task in report.tasks for each in task.attempts.values())
    assert report.use().vcpu_hours == pytest.approx(seconds / 3600)
    assert report.use().gib_hours == pytest.approx(seconds / 3600 * 3.75)
    assert max(number for _, number in report.concurrency()) == 5
    assert "simulate asked for 3.75 GiB" in report.hints()[0]


def test_task_without_an_end_is_active_and_a_cancelled_one_is_no_success() -> None:
    events = example_events(4)[:5]
    events.append(Event(Kind.CANCELLED, BEGAN + 9, "example", (1,), {"error": "Cancelled", "reason": "by the user"}))
    report = report_figures("example", events)
    assert (report.count(State.ACTIVE), report.count(State.CANCELLED), report.is_over) == (3, 1, False)


def test_page_of_10_000_tasks_is_below_a_megabyte_and_loads_nothing() -> None:
    text = page(report_figures("example", example_events(10_000)))
    assert len(text.encode()) < 1_000_000
    assert "<script" not in text
    assert "src=" not in text.replace("style-src", "") and "http:" not in text and "https:" not in text


def test_names_and_errors_are_text_and_no_markup() -> None:
    events = [Event(Kind.PACKED, BEGAN, "<b>", (0,), {"name": "<script>alert(1)</script>"})]
    events.append(Event(Kind.FAILED, BEGAN, "<b>", (0,), {"error": "<i>", "reason": '"><img src=x>'}))
    text = page(report_figures("<b>", events))
    assert not any(markup in text for markup in ("<script>", "<b>", "<i>", "<img"))


def test_report_is_written_as_a_private_file_and_as_json_with_the_documented_fields(tmp_path: Path) -> None:
    recorded(example_events(100))
    path = tmp_path / "page.html"
    done = run(None, "report", "example", "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    body = json.loads(run(None, "report", "example", "--json").stdout)
    documented = (Path(__file__).parents[2] / "docs" / "report.md").read_text().rpartition("## `--json`")[2]
    names = {*body, *body["use"], *body["failures"][0], *body["submissions"][0]}
    names |= {*body["tasks"][0], *body["tasks"][0]["attempts"][0]}
    assert not [name for name in names if f"`{name}`" not in documented]
    assert (len(body["tasks"]), body["tasks"][49]["state"]) == (100, "failed")


def test_report_of_nothing_is_an_error() -> None:
    done = run(None, "report", "nobodys")
    assert (done.returncode, "no record of `nobodys`" in done.stderr) == (1, True)


# ---- in a browser ----------------------------------------------------------------------------------------------------
@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_browser_draws_the_page_without_complaints(tmp_path: Path, *, dark: bool) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(report_figures("example", example_events(100))))
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.look(dark=dark, width=400)
        await tab.open(path.as_uri())
        assert not tab.messages
        assert (
            await tab.value("document.querySelectorAll('svg path.ran')[1].getAttribute('d').match(/M/g).length") == 98
        )
        assert await tab.value("document.querySelector('dl .bad dd').textContent") == "2"
        assert await tab.value("document.documentElement.scrollWidth <= innerWidth")  # nothing is cut off on a phone
        assert [each for each in await tab.violations() if each[0] in ("serious", "critical")] == []


@needs_browser
async def test_keyboard_opens_the_numbers_of_a_chart(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(report_figures("example", example_events(100))))
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(path.as_uri())
        for _ in range(2):  # the table of failures, then the first summary
            await tab.key("Tab")
        await tab.key("Enter")
        assert await tab.value("document.querySelector('details').open")


# ---- --serve ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def served() -> Iterator[str]:
    recorded(example_events(4)[:5])
    process = subprocess.Popen(
        [*COMMAND, "report", "example", "--serve"], stdout=subprocess.PIPE, env=environment(None), text=True
    )
    assert process.stdout
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(20)
    process.stdout.close()


def status(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_served_page_needs_its_secret_its_host_and_its_origin(served: str) -> None:
    root = served.rpartition("/")[0].rpartition("/")[0]
    assert served.startswith("http://127.0.0.1:")
    assert status(served) == status(f"{served}body") == status(served, Origin=root) == 200
    assert status(f"{root}/") == status(f"{root}/{'x' * 43}/") == status(f"{served}other") == 404
    assert status(served, Host="evil.example") == 421
    assert status(served, Origin="http://evil.example") == 403
    assert status(served, **{"Sec-Fetch-Site": "cross-site"}) == 403


def test_server_listens_on_this_machine_only() -> None:
    with ReportServer(0, str, str) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"


@needs_browser
async def test_served_page_follows_the_tasks(served: str, tmp_path: Path) -> None:
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(served)
        assert "active" in await tab.value("document.querySelector('dl').textContent")
        recorded(example_events(4)[5:])
        ended = "document.querySelector('main').textContent.includes('succeeded')"
        async with asyncio.timeout(30):
            while not await tab.value(ended):
                await asyncio.sleep(0.1)
        assert not tab.messages
