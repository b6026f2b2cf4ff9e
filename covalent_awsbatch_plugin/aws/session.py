# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS sessions: one for an event loop and its connection settings; all requests go through it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aioboto3
import aiobotocore.session
from aiobotocore.config import AioConfig
from botocore import xform_name
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from ..core.concurrency import Pace
from ..errors import AWSBatchError, NotAllowed, NotAuthenticated, Refused, SettingError, Unreachable
from .credential_files import files_stamp, readable
from .errors import is_throttle, translated
from .permissions import Permissions
from .sign_in import ask_nothing, json_credentials

# botocore retries throttling, 5xx and lost connections with jitter; ten tries cover about a minute. Its adaptive
# mode also slows each client down when AWS throttles it; `pace` does so for all calls of a quota.
# In us-east-1, S3 has a name of that Region as in every other, and the global name is not botocore's default then.
CLIENT_CONFIG = AioConfig(
    retries={"mode": "adaptive", "total_max_attempts": 10},
    max_pool_connections=50,
    s3={"us_east_1_regional_endpoint": "regional"},
)
ONCE_CONFIG = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
# The identity is requested first: three tries, so that a missing network or a wrong Region shows within seconds.
FIRST_CONFIG = AioConfig(retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=10)
AWS_HOST = re.compile(r"\.amazonaws\.com(\.cn)?$|\.api\.aws$|\.(c2s|sc2s|csp)\S*$")
IDLE_SECONDS = 60  # an unused session is closed after this; opening one again costs about 0.1 s of CPU

COMPARE_SECONDS = 60  # time after which a refusal leads to a look at the keys although no file has changed

_CONFIGS = {"sts": FIRST_CONFIG}

# The request's parameter for the next page, by the response's member: Batch, ECR, Logs; EC2; S3; IAM.
_PAGE_TOKENS = {
    "nextToken": "nextToken",
    "NextToken": "NextToken",
    "NextContinuationToken": "ContinuationToken",
    "Marker": "Marker",
}

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """The settings that distinguish two sessions."""

    credentials: str = ""
    profile: str = ""
    region: str = ""


class AWS:
    """Clients of one connection, opened when first used. `calls` counts requests by operation, retries not included."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls: Counter[str] = Counter()
        self._clients: dict[tuple[str, AioConfig, str], Any] = {}
        self._opening = asyncio.Lock()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._stack = contextlib.AsyncExitStack()
        self.pace = Pace()
        self.permissions = Permissions()
        self.generation = 0  # grows when other credentials are used: answers about the old ones don't count any more
        self._session: aioboto3.Session | None = None
        self._used: object = None  # the keys that clients sign with
        self._stamp: object = None  # of the credentials' files when the keys were last compared
        self._check_after = float("-inf")

    async def __aenter__(self) -> AWS:
        self._session = _session(self.connection)
        self._stamp, self._check_after = files_stamp(self._session._session), time.monotonic() + COMPARE_SECONDS
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

    async def call(
        self, service: str, operation: str, *, of: str, once: bool = False, region: str = "", **parameters: Any
    ) -> Any:
        """Send one request, such as `call("batch", "SubmitJob", of="the queue `q`", ...)`.

        `of` names the resource for errors. `region` is another Region than the connection's. With `once` botocore does
        not retry, for calls that must not take effect twice. Raises one of the ServiceError family, or SettingError if
        the settings do not make a session.
        """

        async def ask() -> Any:
            await self.pace.wait(service, operation)
            self.calls[f"{service}:{operation}"] += 1
            with translated(f"{service}:{operation}", of):
                config = ONCE_CONFIG if once else _CONFIGS.get(service, CLIENT_CONFIG)
                client = await self.client(service, config, region)
                return await getattr(client, xform_name(operation))(**parameters)

        return await self.newly_signed_in(ask)

    async def items(
        self, service: str, operation: str, key: str, *, of: str, **parameters: Any
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the items under `key` of a list operation, from all pages; one `call` per page.

        Raises the errors of `call`, and Unreachable for a truncated page without a token for the next one.
        """
        token: dict[str, Any] = {}
        while True:
            page = await self.call(service, operation, of=of, **parameters, **token)
            for item in page.get(key, ()):
                yield item
            last, token = token, {name: page[member] for member, name in _PAGE_TOKENS.items() if page.get(member)}
            if not token and not page.get("IsTruncated"):
                return
            if not token or token == last:
                raise Unreachable(
                    f"AWS answered {service}:{operation} for {of} with a page that does not lead to the next one."
                )

    async def newly_signed_in(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `ask`; repeat it if AWS refused it and the credentials have changed.

        Any refusal counts, not only expired credentials: S3 gives no message for a HEAD.
        """
        while True:
            asked_by = self._session
            try:
                return await ask()
            except (NotAuthenticated, NotAllowed, Refused, SettingError) as error:
                may_be_keys = isinstance(error, NotAuthenticated | SettingError)
                # another call may have renewed it
                if self._session is asked_by and not await self._renewed(error_may_be_keys=may_be_keys):
                    raise

    async def _renewed(self, *, error_may_be_keys: bool) -> bool:
        """Load the credentials again; return whether they have changed, for example by a new sign-in.

        A new session costs 24 ms, so an error that names no credentials leads to one only if a file of credentials has
        changed since, or after a minute: some credentials come from programs.
        """
        assert self._session is not None, "AWS is an async context manager"
        old, used_keys = self._session, self._used
        stamp = files_stamp(old._session)
        if not error_may_be_keys and stamp == self._stamp and time.monotonic() < self._check_after:
            return False  # the files are as they were when the keys were last compared
        self._stamp, self._check_after = stamp, time.monotonic() + COMPARE_SECONDS
        try:
            new = _session(self.connection)
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
                self._clients[key] = client
                self._used = await _keys(self._session)
        return self._clients[key]

    def _answered(self, service: str, response: Any = None, operation: Any = None, **_: Any) -> None:
        """Lower the rate if a try was throttled; botocore calls this for its own retries too."""
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
            return str((await self.client("sts", FIRST_CONFIG)).meta.region_name)

    async def has_console(self) -> bool:
        """Return whether AWS's console shows what this connection reaches: not with an endpoint that is no AWS's."""
        endpoint = str((await self.client("logs")).meta.endpoint_url)
        return AWS_HOST.search(urlsplit(endpoint).hostname or "") is not None


def _session(connection: Connection) -> aioboto3.Session:
    core = aiobotocore.session.AioSession(profile=connection.profile or None)
    core.register_component("data_loader", loader())
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    if connection.credentials:
        core.set_config_variable("credentials_file", str(readable(connection.credentials)))
    with translated("the AWS session", "the AWS account"):
        session = aioboto3.Session(botocore_session=core, region_name=connection.region or None)
    with contextlib.suppress(AWSBatchError), translated("the AWS session", "the AWS account"):
        # An unknown profile or an unreadable file is the error of the first request.
        ask_nothing(core, connection.profile or str(core.get_config_variable("profile") or ""))
    loader().search_paths[:] = dict.fromkeys(loader().search_paths)  # each session adds boto3's folder again
    return session


def _timestamp(value: Any) -> datetime:
    """Parse a time as botocore does; its own parser takes 0.1 ms, most of the time of a long ListObjectsV2."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed: datetime = parse_timestamp(value)  # Any, where botocore's stubs are not installed
        return parsed


@functools.cache
def loader() -> Loader:
    """Return the loader of AWS's service descriptions, which are parsed once in a process."""
    return create_loader()


async def _keys(session: aioboto3.Session) -> object:
    """Return the keys of a session, which distinguish two sets of credentials; None if there are none."""
    with translated("sts:GetCallerIdentity", "the AWS account"), json_credentials():
        credentials = await session.get_credentials()
        return credentials and await credentials.get_frozen_credentials()


# ---- sharing: every task of an event loop uses the same clients --------------------------------------------------
@dataclass(eq=False)
class _Shared:
    """An AWS, the number of its users, and the timer that closes it when it has none."""

    aws: AWS
    users: int = 0
    closing: asyncio.TimerHandle | None = None


_open: dict[tuple[asyncio.AbstractEventLoop, Connection], _Shared] = {}
_closers: set[asyncio.Task[None]] = set()  # asyncio keeps only weak references to tasks


@contextlib.asynccontextmanager
async def shared(connection: Connection, idle_seconds: float = IDLE_SECONDS) -> AsyncIterator[AWS]:
    """Provide the AWS of this event loop and connection.

    The first user opens it; it is closed after `idle_seconds` without a user.
    """
    loop = asyncio.get_running_loop()
    for stale in [key for key in _open if key[0].is_closed()]:
        del _open[stale]  # its loop and its sockets are closed
    entry = _open.get((loop, connection))
    if entry is None:  # opening sends no request, so no other coroutine runs in between
        entry = _open[loop, connection] = _Shared(await AWS(connection).__aenter__())
    entry.users += 1
    if entry.closing:
        entry.closing.cancel()
    try:
        yield entry.aws
    finally:
        entry.users -= 1
        if not entry.users:
            entry.closing = loop.call_later(idle_seconds, _close_later, loop, connection, entry)


def _close_later(loop: asyncio.AbstractEventLoop, connection: Connection, entry: _Shared) -> None:
    if _open.get((loop, connection)) is not entry:  # closed on purpose while it was in use
        return
    del _open[loop, connection]
    closer = loop.create_task(entry.aws.__aexit__())
    _closers.add(closer)
    closer.add_done_callback(_closers.discard)


async def close_shared() -> None:
    """Close all AWS objects of this loop, for callers that end a loop: the CLI, tests, benchmarks."""
    loop = asyncio.get_running_loop()
    for key in [key for key in _open if key[0] is loop]:
        entry = _open.pop(key)
        if entry.closing:
            entry.closing.cancel()
        await entry.aws.__aexit__()
