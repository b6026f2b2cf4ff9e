# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The page of a report: one HTML file without a request to anywhere, readable without scripts, and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from ..tasks.report_figures import ReportFigures, State, TaskFigures
from .report_charts import concurrency, histogram, timeline
from .tables import duration

LISTED = 20  # of the slowest tasks, and of nodes of one failure
_STYLE = """
:root{color-scheme:light dark;--text:#1b1f24;--soft:#57606a;--back:#fff;--card:#f4f6f8;--line:#d0d7de;
--waited:#b9c3cd;--ran:#2171b5;--failed:#c4302b;--active:#8a6500}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9da7b1;--back:#0f1419;--card:#1a212a;--line:#3d4752;
--waited:#4a5663;--ran:#58a6ff;--failed:#ff7b72;--active:#e3b341}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;
font:1rem/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}
h1{font-size:1.5rem;margin:.5rem 0;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{margin:.3rem 0}.soft,.axis,.axis-y,figcaption{color:var(--soft);font-size:.9rem}
dl.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;margin:1rem 0}
dl.figures div{background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}
dl.figures dt{color:var(--soft);font-size:.85rem}dl.figures dd{margin:0;font-size:1.25rem}
dl.figures .bad dd{color:var(--failed)}
svg{display:block;width:100%;background:var(--card)}
.waited{fill:var(--waited)}.ran,.area{fill:var(--ran)}.failed{fill:var(--failed)}.active{fill:var(--active)}
.limit{stroke:var(--failed);stroke-width:4;fill:none}
.axis{display:flex;justify-content:space-between;gap:.5rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;list-style:none;padding:0;margin:.3rem 0}
.legend svg{display:inline-block;width:.9rem;height:.9rem;vertical-align:-.1rem;margin-right:.35rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:1.2rem}
figure{margin:0}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line)}
td.word{overflow-wrap:anywhere;min-width:9rem}
code{display:inline-block;min-width:16rem;font-size:.85rem;overflow-wrap:anywhere}
.axis span{white-space:nowrap}@media(max-width:40rem){.axis span:nth-child(2n){display:none}
.charts .axis span{display:inline}}
summary{cursor:pointer}summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--ran);outline-offset:2px}
@media print{body{max-width:none;padding:0}section{break-inside:avoid}.scroll{overflow:visible}}
"""
# What `report --serve` adds: the body anew every two seconds. Open details and the focus stay.
_SCRIPT = """
const main=document.querySelector('main'),note=document.querySelector('#note');let last='';
async function look(){
 let text;
 try{const answer=await fetch('body',{cache:'no-store'});if(!answer.ok)throw 0;text=await answer.text()}
 catch{note.textContent='The command has ended; this is its last state.';return}
 if(text!==last){
  const open=[...document.querySelectorAll('details[open]')].map(each=>each.id);
  const focus=document.activeElement&&document.activeElement.closest('[id]');
  main.innerHTML=last=text;
  for(const id of open){const each=document.getElementById(id);if(each)each.open=true}
  const again=focus&&document.getElementById(focus.id);
  if(again)(again.tagName==='DETAILS'?again.querySelector('summary'):again).focus()
 }
 setTimeout(look,2000)}
look()
"""


def page(report: ReportFigures, *, live: bool = False) -> str:
    """Return the whole page; a `live` one asks the server that sent it for its body again and again."""
    policy = f"default-src 'none'; style-src '{_hash(_STYLE)}'; base-uri 'none'; form-action 'none'"
    policy += f"; script-src '{_hash(_SCRIPT)}'; connect-src 'self'" if live else ""
    script = f'<p id="note" class="soft" role="status">Updated every 2 s.</p><script>{_SCRIPT}</script>' if live else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(_title(report))}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<style>{_STYLE}</style></head><body><main>{body(report)}</main>{script}</body></html>\n"
    )


def body(report: ReportFigures) -> str:
    """Return what changes while tasks run."""
    return "".join((
        f"<h1>{escape(_title(report))}</h1>", _head(report), _numbers(report), _failures(report), _time(report),
        _distributions(report), _hints(report), _slowest(report), _requests(report),
    ))  # fmt: skip


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _title(report: ReportFigures) -> str:
    names = list(dict.fromkeys(task.name for task in report.tasks if task.name))
    title = ", ".join(names[:3]) + (f" and {len(names) - 3} more functions" if len(names) > 3 else "")
    return f"{title or 'Tasks'}: {report.dispatch_id}"


def _head(report: ReportFigures) -> str:
    begin = datetime.fromtimestamp(report.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    state = "ended" if report.is_over else "under way"
    took = duration(report.ended - report.began)
    words = "A task is active from its submission until its result is read."
    return f'<p class="soft">Began {begin}, {state} after {took}. {words}</p>'


def _numbers(report: ReportFigures) -> str:
    use = report.use()
    peaks = report.peaks_gib()
    figures = [("tasks", f"{len(report.tasks):,}", "")]
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.ACTIVE, State.PACKED):
        if number := report.count(state):
            figures.append((state.value, f"{number:,}", ' class="bad"' if state == State.FAILED else ""))
    figures += [("vCPU-hours", f"{use.vcpu_hours:.3g}", ""), ("GiB-hours", f"{use.gib_hours:.3g}", "")]
    figures += [("GPU-hours", f"{use.gpu_hours:.3g}", "")] if use.gpu_hours else []
    figures += [("peak memory", f"{max(peaks):.2g} GiB", "")] if peaks else []
    tiles = "".join(f"<div{kind}><dt>{name}</dt><dd>{value}</dd></div>" for name, value, kind in figures)
    return f'<dl class="figures">{tiles}</dl>'


def _failures(report: ReportFigures) -> str:
    groups = report.failures()
    if not groups:
        return ""
    rows = []
    for group in groups:
        nodes = ", ".join(map(str, group.nodes[:LISTED])) + (" ..." if len(group.nodes) > LISTED else "")
        command = f"covalent-awsbatch replay {report.dispatch_id} {group.nodes[0]} --pdb"
        rows.append(
            f'<tr><td>{len(group.nodes):,}</td><td class="word">{escape(group.error)}</td>'
            f'<td class="word">{escape(group.reason)}</td><td class="word">{nodes}</td>'
            f"<td><code>{escape(command)}</code></td></tr>"
        )
    return _section(
        "Failures by cause", _table("failures", ("tasks", "error", "its words", "nodes", "run one again"), rows)
    )


def _time(report: ReportFigures) -> str:
    if not (bars := timeline(report)):
        return ""
    kinds = (("waited", "waited"), ("ran", "ran"), ("failed", "ran and failed"), ("active", "active"))
    legend = "".join(
        f'<li><svg aria-hidden="true" viewBox="0 0 1 1"><path class="{kind}" d="M0 0h1v1h-1z"/></svg>{text}</li>'
        for kind, text in kinds
        if f'class="{kind}"' in bars
    )
    area = concurrency(report)
    return _section("Timeline", f'<ul class="legend">{legend}</ul>{bars}') + (
        _section("Running tasks over time", area) if area else ""
    )


def _distributions(report: ReportFigures) -> str:
    limits = {request.memory_gib for request in report.submissions}
    limit = limits.pop() if len(limits) == 1 else None
    charts = "".join((
        histogram("run time", report.run_seconds(), "s"),
        histogram("wait for a container", report.wait_seconds(), "s"),
        histogram("peak memory", report.peaks_gib(), "GiB", limit),
    ))  # fmt: skip
    return _section("Distributions", f'<div class="charts">{charts}</div>') if charts else ""


def _hints(report: ReportFigures) -> str:
    hints = "".join(f"<li>{escape(hint)}</li>" for hint in report.hints())
    return _section("Right size", f"<ul>{hints}</ul>") if hints else ""


def _slowest(report: ReportFigures) -> str:
    """Return the tasks that ran longest."""

    def seconds(task: TaskFigures) -> float:
        return sum(each.seconds or 0.0 for each in task.attempts.values())

    tasks = sorted((task for task in report.tasks if seconds(task)), key=lambda task: -seconds(task))[:LISTED]
    rows = []
    for task in tasks:
        peak = f"{task.peak_bytes / 2**30:.2g} GiB" if task.peak_bytes else ""
        cpu = sum(each.cpu_seconds or 0.0 for each in task.attempts.values())
        job = task.last.job_id if task.last else ""
        cells = (
            task.name,
            task.node,
            task.state.value,
            f"{seconds(task):.3g} s",
            f"{cpu:.3g} s",
            peak,
            len(task.attempts),
            job,
        )
        rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    titles = ("function", "node", "state", "ran", "CPU time", "peak memory", "attempts", "job")
    return _section(f"The {len(rows)} longest tasks", _table("longest", titles, rows)) if rows else ""


def _requests(report: ReportFigures) -> str:
    rows = []
    for each in report.submissions:
        cells = (
            each.tasks,
            each.jobs,
            each.queue,
            f"{each.vcpu:g}",
            f"{each.memory_gib:g}",
            each.gpus,
            each.tasks_per_job,
            each.image,
        )
        rows.append("<tr>" + "".join(f'<td class="word">{escape(str(cell))}</td>' for cell in cells) + "</tr>")
    titles = ("tasks", "jobs", "queue", "vCPU", "GiB", "GPUs", "tasks a container", "image")
    return _section("What was asked for", _table("requests", titles, rows)) if rows else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _table(name: str, titles: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table that scrolls by itself where the page is narrow, also by keys."""
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="scroll" id="{name}" tabindex="0" role="region" aria-label="{name}">{table}</div>'
