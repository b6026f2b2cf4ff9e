# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS sessions: one for an event loop and its connection settings; all requests go through it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore import xform_name

from ..core.concurrency import Pace
from ..core.loop_end import at_loop_end
from ..core.outage import REFUSED_SECONDS, Outage, Patience, is_misdirected, is_refused
from ..errors import AWSBatchError, NotAllowed, NotAuthenticated, Refused, SettingError, Throttled, Unreachable
from .errors import check_answer, check_body, is_throttle, translated
from .permissions import Permissions
from .profile import Connection, open_session, place, unread_profile
from .sign_in import json_credentials

# In us-east-1, S3 has a name of that Region as in every other, and the global name is not botocore's default then.
_S3 = {"us_east_1_regional_endpoint": "regional"}
# botocore's retries bridge a single failure, also within an upload of many parts; `patience` rides out an outage.
CLIENT_CONFIG = AioConfig(
    retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=50, connect_timeout=10, s3=_S3
)
ONCE_CONFIG = AioConfig(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, s3=_S3)
AWS_HOST = re.compile(r"\.amazonaws\.com(\.cn)?$|\.api\.aws$|\.(c2s|sc2s|csp)\S*$")
IDLE_SECONDS = 60  # an unused session is closed after this; opening one again costs about 0.1 s of CPU

COMPARE_SECONDS = 60  # time after which a refusal leads to a look at the keys although no file has changed

# The request's parameter for the next page, by the response's member: Batch, ECR, Logs; EC2; S3; IAM.
_PAGE_TOKENS = {
    "nextToken": "nextToken",
    "NextToken": "NextToken",
    "NextContinuationToken": "ContinuationToken",
    "Marker": "Marker",
}

T = TypeVar("T")

__all__ = ["AWS", "Connection", "close_shared", "shared"]


class AWS:
    """Clients of one connection, opened when first used. `calls` counts requests by operation, retries not included."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls: Counter[str] = Counter()
        self._clients: dict[tuple[str, AioConfig, str], Any] = {}
        self._opening = asyncio.Lock()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._stack = contextlib.AsyncExitStack()
        self.pace, self.patience = Pace(), Patience(connection.outage_patience)
        self.permissions = Permissions()
        self.generation = 0  # grows when other credentials are used: answers about the old ones don't count any more
        self._is_answered = False
        self._session: aioboto3.Session | None = None
        self._used: object = None  # the keys that clients sign with
        self._stamp: object = None  # of the credentials' files when the keys were last compared
        self._check_after = float("-inf")
        self._files: object = None  # their state at the last look at the profile
        self._place: object = None

    async def __aenter__(self) -> AWS:
        self._session = open_session(self.connection)
        self._stamp, self._check_after = _files_stamp(self._session._session), time.monotonic() + COMPARE_SECONDS
        # Another session reads the profile: botocore keeps half of it where a file can't be parsed.
        self._files, self._place = self._stamp, place(unread_profile(self.connection))
        return self

    async def __aexit__(self, *exc: object) -> None:
        while self._closers:
            await self._closers.pop()()
        await self._stack.aclose()

    async def keep(self, context: contextlib.AbstractAsyncContextManager[T]) -> T:
        """Enter a context that is left when this AWS is closed."""
        return await self._stack.enter_async_context(context)

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Add a coroutine function to await when this AWS is closed, before its clients are."""
        self._closers.append(close)

    def has_moved(self) -> bool:
        """Return whether the AWS profile leads elsewhere by now: to another endpoint, Region or role."""
        assert self._session is not None, "AWS is an async context manager"
        files = _files_stamp(self._session._session)
        if files == self._files:
            return False
        self._files = files
        try:
            return place(unread_profile(self.connection)) != self._place
        except AWSBatchError:  # the next request says what is wrong
            return False

    async def call(
        self, service: str, operation: str, *, of: str, once: bool = False, region: str = "", **parameters: Any
    ) -> Any:
        """Send one request, such as `call("batch", "SubmitJob", of="the queue `q`", ...)`.

        `of` names the resource for errors. `region` is another Region than the connection's. With `once` there is one
        try, for calls that must not take effect twice or that the caller repeats. Raises one of the ServiceError
        family, or SettingError if the settings do not make a session.
        """

        async def ask() -> Any:
            await self.pace.wait(service, operation)
            self.calls[f"{service}:{operation}"] += 1
            with translated(f"{service}:{operation}", of):
                client = await self.client(service, ONCE_CONFIG if once else CLIENT_CONFIG, region)
                return await getattr(client, xform_name(operation))(**parameters)

        return await self.patiently(ask, once=once)

    async def items(
        self, service: str, operation: str, key: str, *, of: str, once: bool = False, **parameters: Any
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the items under `key` of a list operation, from all pages; one `call`, perhaps `once`, per page.

        Raises the errors of `call`, and Unreachable for a truncated page without a token for the next one.
        """
        token: dict[str, Any] = {}
        while True:
            page = await self.call(service, operation, of=of, once=once, **parameters, **token)
            for item in page.get(key, ()):
                yield item
            last, token = token, {name: page[member] for member, name in _PAGE_TOKENS.items() if page.get(member)}
            if not token and not page.get("IsTruncated"):
                return
            if not token or token == last:
                raise Unreachable(
                    f"AWS answered {service}:{operation} for {of} with a page that does not lead to the next one."
                )

    async def patiently(self, ask: Callable[[], Awaitable[T]], *, once: bool = False) -> T:
        """Return the result of `ask`; repeat it during an outage, or after a refusal if the credentials have changed.

        Any refusal counts, not only expired credentials: S3 gives no message for a HEAD. With `once` an outage is the
        caller's.
        """
        outage: Outage | None = None
        while True:
            asked_by = self._session
            try:
                return await ask()
            except (NotAuthenticated, NotAllowed, Refused, SettingError) as error:
                may_be_keys = isinstance(error, NotAuthenticated | SettingError)
                # another call may have renewed it
                if self._session is asked_by and not await self._renewed(error_may_be_keys=may_be_keys):
                    raise
            except (Throttled, Unreachable) as error:
                outage = outage or self.patience.outage()
                if not self._is_answered and is_refused(error):
                    error.worth_seconds = REFUSED_SECONDS
                misdirected = not self._is_answered and is_misdirected(error)
                if once or misdirected or self.has_moved() or not await outage.lasts(error):
                    raise

    async def _renewed(self, *, error_may_be_keys: bool) -> bool:
        """Load the credentials again; return whether they have changed, for example by a new sign-in.

        A new session costs 24 ms, so an error that names no credentials leads to one only if a file of credentials has
        changed since, or after a minute: some credentials come from programs.
        """
        assert self._session is not None, "AWS is an async context manager"
        old, used_keys = self._session, self._used
        stamp = _files_stamp(old._session)
        if not error_may_be_keys and stamp == self._stamp and time.monotonic() < self._check_after:
            return False  # the files are as they were when the keys were last compared
        self._stamp, self._check_after = stamp, time.monotonic() + COMPARE_SECONDS
        try:
            new = open_session(self.connection)
            changed = await _keys(new) not in (None, used_keys)
        except AWSBatchError:
            return False
        if changed and self._session is old:  # clients that calls still use are closed with the others
            self._session, self._clients, self.permissions = new, {}, Permissions()
            self.generation += 1
        return changed

    async def client(self, service: str, config: AioConfig = CLIENT_CONFIG, region: str = "") -> Any:
        """Return the aiobotocore client; prefer `call`, which counts and translates."""
        key = service, config, region
        async with self._opening:
            if key not in self._clients:
                assert self._session is not None, "AWS is an async context manager"
                context = self._session.client(service, config=config, region_name=region or None)
                with json_credentials():
                    client = await self._stack.enter_async_context(context)
                client.meta.events.register("needs-retry", functools.partial(self._answered, service))
                client.meta.events.register("before-parse", check_body)
                client.meta.events.register("after-call", check_answer)
                self._clients[key] = client
                self._used = await _keys(self._session)
        return self._clients[key]

    def _answered(self, service: str, response: Any = None, operation: Any = None, **_: Any) -> None:
        """Lower the rate if a try was throttled; botocore calls this for its own retries too."""
        self._is_answered = self._is_answered or response is not None
        if response and is_throttle(response[1]):
            self.pace.throttled(service, operation.name)

    async def keys(self) -> Any:
        """Return the access key, secret and token in use, renewed if they expire; None if there are none."""
        assert self._session is not None, "AWS is an async context manager"
        return await _keys(self._session)

    async def credentials_end(self) -> datetime | None:
        """Return the time when the credentials expire; None if they do not."""
        assert self._session is not None, "AWS is an async context manager"
        with translated("sts:GetCallerIdentity", "the AWS account"):
            credentials = await self._session.get_credentials()
        return getattr(credentials, "_expiry_time", None)  # botocore has no public attribute for it

    def variable(self, name: str) -> Any:
        """Return a variable of botocore's configuration, such as `use_fips_endpoint`; None if it is not set."""
        assert self._session is not None, "AWS is an async context manager"
        return self._session._session.get_config_variable(name)

    async def region(self) -> str:
        """Return the Region of this connection."""
        with translated("sts:GetCallerIdentity", "the AWS account"):
            return str((await self.client("sts")).meta.region_name)

    async def has_console(self) -> bool:
        """Return whether AWS's console shows what this connection reaches: not with an endpoint that is no AWS's."""
        endpoint = str((await self.client("logs")).meta.endpoint_url)
        return AWS_HOST.search(urlsplit(endpoint).hostname or "") is not None


async def _keys(session: aioboto3.Session) -> object:
    """Return the keys of a session, which distinguish two sets of credentials; None if there are none."""
    with translated("sts:GetCallerIdentity", "the AWS account"), json_credentials():
        credentials = await session.get_credentials()
        return credentials and await credentials.get_frozen_credentials()


def _files_stamp(session: Any) -> tuple[object, ...]:
    """Return the state of a botocore session's sources of credentials; a sign-in or a change of keys changes it."""
    paths = [session.get_config_variable("credentials_file"), session.get_config_variable("config_file")]
    folders = ["~/.aws/sso/cache", "~/.aws/cli/cache"]
    files = [_state(Path(path).expanduser()) for path in (*filter(None, paths), *folders)]
    return (*files, *(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN")))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


# ---- sharing: every task of an event loop uses the same clients --------------------------------------------------
@dataclass(eq=False)
class _Shared:
    """An AWS, the number of its users, and the timer that closes it when it has none."""

    aws: AWS
    loop: asyncio.AbstractEventLoop
    users: int = 0
    closing: asyncio.TimerHandle | None = None
    looked_at: float = 0.0
    replaced: bool = False

    def has_moved(self) -> bool:
        """Return whether the files of the AWS profile lead elsewhere by now; they are looked at once a second."""
        if self.loop.time() - self.looked_at < 1:
            return False
        self.looked_at = self.loop.time()
        return self.aws.has_moved()


_open: dict[tuple[asyncio.AbstractEventLoop, Connection], _Shared] = {}
_replaced: set[_Shared] = set()  # they lead elsewhere than the profile does by now, and still have users
_closers: set[asyncio.Task[None]] = set()  # asyncio keeps only weak references to tasks


@contextlib.asynccontextmanager
async def shared(connection: Connection, idle_seconds: float = IDLE_SECONDS) -> AsyncIterator[AWS]:
    """Provide the AWS of this event loop and connection.

    The first user opens it; it is closed after `idle_seconds` without a user, and at the end of `asyncio.run`.
    """
    loop = asyncio.get_running_loop()
    entry = _open.get((loop, connection))
    if entry is not None and entry.has_moved():
        _replace(loop, connection, entry)
        entry = None
    if entry is None:  # opening sends no request, so no other coroutine runs in between
        for stale in [key for key in _open if key[0].is_closed()]:
            del _open[stale]  # its loop and its sockets are closed
        entry = _open[loop, connection] = _Shared(await AWS(connection).__aenter__(), loop)
        await at_loop_end(close_shared)
    entry.users += 1
    if entry.closing:
        entry.closing.cancel()
    try:
        yield entry.aws
    finally:
        entry.users -= 1
        if not entry.users:
            seconds = 0 if entry.replaced else idle_seconds
            entry.closing = loop.call_later(seconds, _close_later, loop, connection, entry)


def _replace(loop: asyncio.AbstractEventLoop, connection: Connection, entry: _Shared) -> None:
    """Let the users of an AWS finish, and open another one for new users."""
    del _open[loop, connection]
    entry.replaced = True
    _replaced.add(entry)
    if not entry.users:
        _close_later(loop, connection, entry)


def _close_later(loop: asyncio.AbstractEventLoop, connection: Connection, entry: _Shared) -> None:
    if entry in _replaced:
        _replaced.discard(entry)
    elif _open.get((loop, connection)) is entry:
        del _open[loop, connection]
    else:  # closed on purpose while it was in use
        return
    closer = loop.create_task(entry.aws.__aexit__())
    _closers.add(closer)
    closer.add_done_callback(_closers.discard)


async def close_shared() -> None:
    """Close all AWS objects of this loop, for callers that end a loop: the CLI, tests, benchmarks."""
    loop = asyncio.get_running_loop()
    entries = [_open.pop(key) for key in [key for key in _open if key[0] is loop]]
    entries += [entry for entry in _replaced if entry.loop is loop]
    for entry in entries:
        _replaced.discard(entry)
        if entry.closing:
            entry.closing.cancel()
        await entry.aws.__aexit__()
