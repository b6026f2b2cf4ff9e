# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS: one session for an event loop and its connection settings, one door for every call, one translator of errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import aioboto3
import aiobotocore.session
import botocore.exceptions as says
from aiobotocore.config import AioConfig
from botocore import xform_name

from ..thought import errors
from .pace import Pace

# botocore retries throttling, 5xx and lost connections with jitter; ten tries ride out about a minute. Its adaptive
# mode also slows the whole client down when AWS throttles, and speeds it up again.
CLIENT_CONFIG = AioConfig(retries={"mode": "adaptive", "total_max_attempts": 10}, max_pool_connections=50)
ONCE_CONFIG = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
IDLE_SECONDS = 60  # an unused session is closed after this; opening one again costs about 0.2 s of CPU

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_CREDENTIALS = {
    "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure",
    "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "InvalidToken",
}  # fmt: skip
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden", "403", "AllAccessDisabled"}
_MISSING = {
    "NoSuchBucket", "NoSuchKey", "NotFound", "404", "RepositoryNotFoundException", "NoSuchEntity",
    "ImageNotFoundException", "ResourceNotFoundException",
}  # fmt: skip
_THROTTLED = {
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
    "RequestThrottled", "BandwidthLimitExceeded",
}  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """Which AWS, as whom: the settings that make two sessions different."""

    credentials: str = ""
    profile: str = ""
    region: str = ""


class AWS:
    """Clients of one connection, opened when first used. `calls` counts requests by operation, retries not included."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls: Counter[str] = Counter()
        self._clients: dict[tuple[str, bool], Any] = {}
        self._opening = asyncio.Lock()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._stack = contextlib.AsyncExitStack()
        self._pace = Pace()
        self._tenants: dict[Any, Any] = {}
        self._session: aioboto3.Session | None = None

    async def __aenter__(self) -> AWS:
        self._session = _session(self.connection)
        return self

    async def __aexit__(self, *exc: object) -> None:
        while self._closers:
            await self._closers.pop()()
        await self._stack.aclose()

    async def keep(self, context: contextlib.AbstractAsyncContextManager[T]) -> T:
        """Enters a context that is left when this AWS is closed."""
        return await self._stack.enter_async_context(context)

    def tenant(self, make: Callable[[AWS], T]) -> T:
        """What `make` made of this AWS when first asked: one of a kind, for as long as this AWS is open."""
        if make not in self._tenants:
            self._tenants[make] = make(self)
        return cast(T, self._tenants[make])

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Something to await when this AWS is closed, before its clients are."""
        self._closers.append(close)

    async def call(self, service: str, operation: str, *, of: str, once: bool = False, **parameters: Any) -> Any:
        """One request, such as `call("batch", "SubmitJob", of="the queue `q`", ...)`; `of` names the thing for errors.

        With `once` botocore does not try again, for calls that must not take effect twice. Raises one of the
        ServiceError family, or SettingError when the session can't be made of the settings.
        """
        await self._pace.wait(service, operation)
        self.calls[f"{service}:{operation}"] += 1
        with translated(f"{service}:{operation}", of):
            client = await self.client(service, ONCE_CONFIG if once else CLIENT_CONFIG)
            return await getattr(client, xform_name(operation))(**parameters)

    async def client(self, service: str, config: AioConfig = CLIENT_CONFIG) -> Any:
        """The aiobotocore client; prefer `call`, which counts and translates."""
        key = service, config is ONCE_CONFIG
        async with self._opening:
            if key not in self._clients:
                assert self._session is not None, "AWS is an async context manager"
                context = self._session.client(service, config=config)
                self._clients[key] = await self._stack.enter_async_context(context)
        return self._clients[key]

    async def region(self) -> str:
        """The Region that this connection ends up with."""
        with translated("sts:GetCallerIdentity", "the AWS account"):
            return str((await self.client("sts")).meta.region_name)


def _session(connection: Connection) -> aioboto3.Session:
    core = aiobotocore.session.AioSession(profile=connection.profile or None)
    if connection.credentials:
        path = Path(connection.credentials).expanduser()
        if not os.access(path, os.R_OK) or not path.is_file():
            raise errors.SettingError(
                f"The setting credentials={connection.credentials!r} names a file that can't be read here.",
                advice="Give the path of a shared-credentials file on the machine where the Covalent server runs,"
                " or leave it empty for AWS's usual places.",
            )
        core.set_config_variable("credentials_file", str(path))
    with translated("the AWS session", f"profile {connection.profile!r}"):
        return aioboto3.Session(botocore_session=core, region_name=connection.region or None)


# ---- sharing: every task of an event loop uses the same clients --------------------------------------------------
_open: dict[tuple[asyncio.AbstractEventLoop, Connection], _Shared] = {}


class _Shared:
    """An AWS, how many use it now, and the timer that closes it when nobody has for a while."""

    def __init__(self, aws: AWS) -> None:
        self.aws, self.users = aws, 0
        self.closing: asyncio.TimerHandle | None = None
        self.closer: asyncio.Task[None] | None = None


@contextlib.asynccontextmanager
async def shared(connection: Connection, idle_seconds: float = IDLE_SECONDS) -> AsyncIterator[AWS]:
    """The AWS of this event loop and connection: opened by its first user, closed when unused for `idle_seconds`."""
    loop = asyncio.get_running_loop()
    for stale in [key for key in _open if key[0].is_closed()]:
        del _open[stale]  # its loop is gone, and its sockets with it
    entry = _open.get((loop, connection))
    if entry is None:
        entry = _open[loop, connection] = _Shared(await AWS(connection).__aenter__())
    entry.users += 1
    if entry.closing:
        entry.closing.cancel()
    try:
        yield entry.aws
    finally:
        entry.users -= 1
        if not entry.users:
            entry.closing = loop.call_later(idle_seconds, _close_later, loop, connection)


def _close_later(loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
    entry = _open.pop((loop, connection))
    entry.closer = loop.create_task(entry.aws.__aexit__())
    entry.closer.add_done_callback(lambda _: setattr(entry, "closer", None))  # the task lives as long as it runs


async def close_shared() -> None:
    """Closes what this loop shares now, for whoever ends a loop on purpose: the CLI, tests, benchmarks."""
    loop = asyncio.get_running_loop()
    for key in [key for key in _open if key[0] is loop]:
        entry = _open.pop(key)
        if entry.closing:
            entry.closing.cancel()
        await entry.aws.__aexit__()


# ---- the translator ----------------------------------------------------------------------------------------------
@contextlib.contextmanager
def translated(action: str, of: str) -> Iterator[None]:
    """botocore's errors become ours here and nowhere else; `action` is in IAM's words, `of` names the thing."""
    try:
        yield
    except says.ClientError as error:
        raise _from_answer(error, action, of) from error
    except (says.NoCredentialsError, says.PartialCredentialsError, says.CredentialRetrievalError) as error:
        raise errors.NotAuthenticated(
            f"There are no AWS credentials for {of}.", says=str(error), advice=_LOG_IN
        ) from error
    except (says.SSOError, says.TokenRetrievalError) as error:
        raise errors.NotAuthenticated(
            "The AWS sign-in has expired.", says=str(error), advice="Run `aws sso login` for this profile."
        ) from error
    except says.NoRegionError as error:
        raise errors.SettingError(
            "No AWS Region is set.", advice="Set region in [executors.awsbatch], in the profile, or as AWS_REGION."
        ) from error
    except says.ProfileNotFound as error:
        raise errors.SettingError(
            f"{str(error).rstrip('.')}.", advice="Correct profile, or add it with `aws configure --profile NAME`."
        ) from error
    except (says.ConfigParseError, says.ParamValidationError, says.InvalidRegionError) as error:
        raise errors.SettingError(f"{of} can't be used.", says=str(error)) from error
    except (says.HTTPClientError, says.ConnectionError, OSError) as error:
        raise errors.Unreachable(
            f"No answer from AWS to {action} for {of}.", says=str(error), advice="Check the network and region."
        ) from error


_LOG_IN = "Run `aws configure` (or `aws sso login`), or set profile or credentials in [executors.awsbatch]."


def _from_answer(error: says.ClientError, action: str, of: str) -> errors.ServiceError:
    answer: Mapping[str, Any] = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    message = str(answer.get("Error", {}).get("Message", "")).strip()
    words = f"AWS says: {code}: {message}" if message else f"AWS says: {code}"
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _EXPIRED:
        return errors.NotAuthenticated("The AWS credentials have expired.", says=words, advice=_LOG_IN)
    if code in _UNKNOWN_CREDENTIALS:
        return errors.NotAuthenticated(f"AWS does not accept the credentials for {of}.", says=words, advice=_LOG_IN)
    if code in _DENIED:
        return errors.NotAllowed(f"AWS does not allow {action} on {of}.", says=words, advice=f"Allow `{action}` on it.")
    if code in _MISSING:
        return errors.NotFound(
            f"AWS does not find {of}.", says=words, advice="Correct its name in [executors.awsbatch]."
        )
    if code in _THROTTLED or status == 429:
        return errors.Throttled(f"AWS kept slowing down {action} for {of}.", says=words, advice="Try again later.")
    if status >= 500:
        return errors.Unreachable(f"AWS could not answer {action} for {of}.", says=words, advice="Try again later.")
    return errors.Refused(f"AWS refused {action} for {of}.", says=words)
