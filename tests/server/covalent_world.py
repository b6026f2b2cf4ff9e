# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A Covalent server, an offline AWS that its config leads to, and what a user of both does and sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session
import covalent as ct

from covalent_awsbatch_plugin.local import LocalAWS
from examples.covalent_server import CovalentServer

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "POSTPROCESSING_FAILED")
LIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
ENDED = ("SUCCEEDED", "FAILED")
LOOK_EVERY_S = 0.1


@contextmanager
def offline_aws(engine: str) -> Iterator[LocalAWS]:
    """Its own process; nothing of it is bound to an event loop."""
    aws = LocalAWS(engine=engine, slots=4, grace_s=2)
    asyncio.run(aws.__aenter__())
    try:
        yield aws
    finally:
        asyncio.run(aws.__aexit__(None, None, None))


@contextmanager
def covalent_world(engine: str, home: Path) -> Iterator[CovalentWorld]:
    with offline_aws(engine) as aws:
        section = aws.section() | {"cache_dir": str(home / "staging"), "poll_freq": 0.2}
        with CovalentServer(home, section) as server:
            yield CovalentWorld(aws, server, section)


@dataclass
class CovalentWorld:
    aws: LocalAWS
    server: CovalentServer
    section: dict[str, Any]

    # ---- what a user does --------------------------------------------------------------------------------------
    def dispatch(self, lattice: Any, *args: Any, **kwargs: Any) -> str:
        dispatch_id: str = ct.dispatch(lattice, dispatcher_addr=self.server.address)(*args, **kwargs)
        return dispatch_id

    def run(self, lattice: Any, *args: Any, **kwargs: Any) -> Ran:
        """Dispatches it and waits for its end."""
        return self.end_of(self.dispatch(lattice, *args, **kwargs))

    def completed(self, lattice: Any, *args: Any, **kwargs: Any) -> Ran:
        ran = self.run(lattice, *args, **kwargs)
        assert ran.status == "COMPLETED", ran
        return ran

    def failed(self, lattice: Any, *args: Any, **kwargs: Any) -> Ran:
        ran = self.run(lattice, *args, **kwargs)
        assert (ran.status, ran.value) == ("FAILED", None), ran
        return ran

    def end_of(self, dispatch_id: str) -> Ran:
        wait_until(lambda: self.status(dispatch_id) in TERMINAL, f"the end of {dispatch_id}", self.server.last_words)
        return Ran(ct.get_result(dispatch_id, dispatcher_addr=self.server.address))

    def status(self, dispatch_id: str) -> str:
        answer = ct.get_result(dispatch_id, dispatcher_addr=self.server.address, status_only=True)
        return _word(answer["status"])

    def cancel(self, dispatch_id: str) -> None:
        ct.cancel(dispatch_id, dispatcher_addr=self.server.address)

    # ---- what AWS saw of it ------------------------------------------------------------------------------------
    def client(self, service: str) -> Any:
        session = botocore.session.Session(profile=self.section["profile"])
        session.set_config_variable("credentials_file", self.section["credentials"])
        return session.create_client(service)

    @cached_property
    def batch(self) -> Any:
        return self.client("batch")

    def jobs(self, *states: str) -> dict[str, Any]:
        """Jobs by id that are in one of these states, with none in any."""
        listed = [
            self.batch.list_jobs(jobQueue=self.section["batch_queue"], jobStatus=s) for s in states or LIVE + ENDED
        ]
        return {job["jobId"]: job for answer in listed for job in answer["jobSummaryList"]}

    def running(self, *, beyond: set[str]) -> list[str]:
        """Ids of the running jobs besides those `beyond`; an array counts by its children."""
        found: list[str] = []
        for job_id in self.jobs().keys() - beyond:
            (job,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
            if "arrayProperties" in job:
                children = self.batch.list_jobs(arrayJobId=job_id, jobStatus="RUNNING")["jobSummaryList"]
                found += [child["jobId"] for child in children]
            elif job["status"] == "RUNNING":
                found.append(job_id)
        return found

    def log(self, job_id: str) -> str:
        """What CloudWatch has of a job's output."""
        (job,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        stream = job["container"].get("logStreamName")
        if not stream:
            return ""
        group = self.section["batch_job_log_group_name"]
        answer = self.client("logs").get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return "\n".join(event["message"] for event in answer["events"])

    def wait_for_job(self, state: str, *, beyond: set[str]) -> str:
        """The id of the one job in this state, besides those `beyond`."""
        wait_until(lambda: self.jobs(state).keys() - beyond != set(), f"a job {state}", self.server.last_words)
        (job_id,) = self.jobs(state).keys() - beyond
        return job_id


@dataclass(repr=False)
class Ran:
    """A dispatch that has ended."""

    result: Any

    def __repr__(self) -> str:
        nodes = self.result.get_all_node_results()
        told = [
            f"{node['node_name']}: {node['status']}\n{node['stdout']}{node['stderr']}{node['error']}" for node in nodes
        ]
        return "\n".join([f"{self.status}: {self.result.error}", *told])

    @property
    def status(self) -> str:
        return _word(self.result.status)

    @property
    def value(self) -> Any:
        return self.result.result

    def inner_dispatch(self, name: str) -> str:
        """The dispatch that a sublattice became."""
        graph = self.result.lattice.transport_graph
        (found,) = (node["node_id"] for node in self.result.get_all_node_results() if node["node_name"] == name)
        dispatch_id: str = graph.get_node_value(found, "sub_dispatch_id")
        return dispatch_id

    def node(self, name: str) -> Node:
        """The only electron of that name."""
        found = [node for node in self.result.get_all_node_results() if node["node_name"] == name]
        assert len(found) == 1, self
        return Node.of(found[0])

    def by_id(self, node_id: int) -> Node:
        return Node.of(self.result.get_node_result(node_id))


@dataclass
class Node:
    """What `get_node_result` says."""

    status: str
    output: Any
    stdout: str
    stderr: str
    error: str

    @classmethod
    def of(cls, found: dict[str, Any]) -> Node:
        output = found["output"].get_deserialized() if found["output"] is not None else None
        return cls(_word(found["status"]), output, found["stdout"], found["stderr"], found["error"])


def _word(status: Any) -> str:
    return str(getattr(status, "value", status))


def wait_until(
    holds: Callable[[], bool], what: str, words: Callable[[], str] = lambda: "", seconds: float = 120
) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}\n{words()}"
        time.sleep(LOOK_EVERY_S)
