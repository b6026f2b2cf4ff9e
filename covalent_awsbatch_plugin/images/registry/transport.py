# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""HTTP for registries: logins and tokens, safe addresses, proxies, retries; `repository` knows what a call means."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from ...core.concurrency import Once, Pace
from ...core.outage import PATIENCE_SECONDS, REFUSED_SECONDS, Outage, Patience, is_misdirected, is_refused
from ...errors import Refused, ServiceError, Unreachable
from ..builders.builder import Login
from ..layer import Chunk
from ..reference import is_loopback
from .auth import BearerChallenge, bearer_challenge, tls_context, token_in
from .errors import About, error_of, retry_after_s, too_long, too_slow, unreachable

T = TypeVar("T")

CONNECTIONS = 100  # far above the streams of `registry_builder`, each of which uses two
CONNECT_S = 10
SILENCE_S = 300  # time that a registry may need for the digest of a blob of some GB
SLOWEST_BYTES_S = 4096  # a body that is slower after SILENCE_S seconds is given up: a drip would never end
MOST_ANSWER_BYTES = 16 << 20  # no manifest or config is larger; registries limit manifests to 4 MiB
MOST_ERROR_BYTES = 64 << 10  # the words of an error are at its beginning
REDIRECTS = 5
LONGEST_ASKED_S = 60.0  # limit for the seconds of a Retry-After header

_NO_ANSWER = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


@dataclass
class Tally:
    """The cost of requests: `requests` includes retries, tokens and redirects, `bytes_pushed` only uploads."""

    requests: int = 0
    bytes_pushed: int = 0


@dataclass(frozen=True)
class Body:
    """Bytes to send; `open` reads them from the beginning for each try."""

    size: int
    open: Callable[[], AsyncGenerator[Chunk, None]]


@dataclass(frozen=True)
class Call:
    """One request for a registry.

    `home` is the registry's own origin: only there credentials are sent. `scope` distinguishes tokens.
    """

    method: str
    url: URL
    home: URL
    about: About
    scope: str
    login: Login | None
    tally: Tally
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True)
class Answer:
    """A response; the names of `headers` are case-insensitive."""

    status: int
    headers: Mapping[str, str]  # case-insensitive
    body: bytes
    url: URL


class RegistryHttp:
    """One session for all registries of an event loop. Tokens are used until the registry refuses them.

    `ca_bundle` is a file of certificates that are trusted beside the system's.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
        ca_bundle: str = "",
        outage_patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._sleep, self._clock = sleep, clock
        self._patience = Patience(outage_patience, sleep=sleep, clock=clock, jitter=jitter)
        self._answered: set[URL] = set()  # the origins of registries that have answered
        self._paces: defaultdict[URL, Pace] = defaultdict(Pace)  # by registry, like `_not_before`
        self._not_before: dict[URL, float] = {}
        self._tokens: dict[tuple[URL, Login | None, str], str] = {}
        self._token_once: Once[str] = Once()
        self._ca_bundle = ca_bundle

    async def __aenter__(self) -> Self:
        context = tls_context(self._ca_bundle)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=True if context is None else context),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
            headers={"Accept-Encoding": "identity", "User-Agent": "covalent-awsbatch-plugin"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # digests are of the stored bytes
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def patiently(self, attempt: Callable[[], Awaitable[T]], of: type[ServiceError] = ServiceError) -> T:
        """Repeat, during an outage, an attempt that fails with an error `of` this kind that a retry may help."""
        outage: Outage | None = None
        while True:
            try:
                return await attempt()
            except of as error:
                outage = outage or self._patience.outage()
                if not error.retry_may_help or not await outage.lasts(error):
                    raise

    async def turn(self, call: Call, operation: str) -> None:
        """Wait until a rate-limited call may start."""
        await self._paces[call.home].wait("registry", operation)

    async def ask(self, call: Call, ok: Collection[int]) -> Answer:
        """Return the whole response; one try.

        Raises ServiceError if there is none or its status is not in `ok`.
        """
        async with self._opened(call, ok) as response:
            body = await self._body(response, call.about, MOST_ANSWER_BYTES)
            return Answer(response.status, response.headers, body, response.url)

    async def stream(self, call: Call, chunk_bytes: int, size: int) -> AsyncGenerator[Chunk, None]:
        """Yield the body of the response in chunks; one try. Raises Refused where it is longer than `size` bytes."""
        async with self._opened(call, (200,)) as response:
            async for chunk in self._chunks(response, call.about, chunk_bytes, size):
                yield chunk

    async def _body(self, response: aiohttp.ClientResponse, about: About, most: int) -> bytes:
        return b"".join([chunk async for chunk in self._chunks(response, about, most, most)])

    async def _error_body(self, response: aiohttp.ClientResponse, about: About) -> bytes:
        """Return the beginning of a body."""
        chunks, size = [], 0
        async for chunk in self._chunks(response, about, MOST_ERROR_BYTES, sys.maxsize):
            chunks.append(chunk)
            size += len(chunk)
            if size >= MOST_ERROR_BYTES:
                response.close()  # the rest is not read
                break
        return b"".join(chunks)[:MOST_ERROR_BYTES]

    async def _chunks(
        self, response: aiohttp.ClientResponse, about: About, chunk_bytes: int, most: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a body in chunks, at most `most` bytes. Raises Refused for a longer one, Unreachable for a drip."""
        began, size = self._clock(), 0
        async for chunk in response.content.iter_chunked(chunk_bytes):
            size += len(chunk)
            if size > most:
                response.close()
                raise too_long(about, most)
            if self._clock() - began > SILENCE_S + size / SLOWEST_BYTES_S:
                response.close()
                raise too_slow(about, size)
            yield chunk

    @asynccontextmanager
    async def _opened(self, call: Call, ok: Collection[int]) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with AsyncExitStack() as stack:
                response = await self._follow(call, stack)
                self._answered.add(call.home)
                if (response.status in ok or response.status < 300) and _is_page(response):  # a proxy's own
                    raise error_of(502, await self._error_body(response, call.about), call.about)
                if response.status not in ok:
                    self._heed(call, response)
                    raise error_of(response.status, await self._error_body(response, call.about), call.about)
                yield response
        except _NO_ANSWER as error:
            raise self._unreachable(call, error) from error

    def _unreachable(self, call: Call, error: BaseException) -> ServiceError:
        """Return the error for no answer; no retry helps a registry of a wrong name or certificate."""
        result = unreachable(call.about, error)
        if isinstance(result, Unreachable):
            answered = call.home in self._answered
            result.retry_may_help = answered or not is_misdirected(error)
            if not answered and is_refused(error):
                result.worth_seconds = REFUSED_SECONDS
        return result

    def _heed(self, call: Call, response: aiohttp.ClientResponse) -> None:
        """Delay all calls to a registry that asked for it."""
        if asked_s := min(LONGEST_ASKED_S, retry_after_s(response.status, response.headers)):
            self._not_before[call.home] = max(self._not_before.get(call.home, 0), self._clock() + asked_s)

    async def _follow(self, call: Call, stack: AsyncExitStack) -> aiohttp.ClientResponse:
        """Return the response after redirects and after one challenge."""
        url, challenged = call.url, False
        for _ in range(REDIRECTS + 1):
            response = await self._send(call, url, stack)
            if response.status == 401 and not challenged and url.origin() == call.home:
                challenge = bearer_challenge(response.headers.getall("WWW-Authenticate", ()))
                if challenge is None:
                    return response
                challenged = True
                await self._authorize(call, challenge)
            elif response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                url = absolute(response.url, response.headers["Location"], call.about)
            else:
                return response
            response.release()
        raise Refused(
            f"The registry {call.about.registry} redirects more than {REDIRECTS} times.", says=str(url.with_query(None))
        )

    async def _send(self, call: Call, url: URL, stack: AsyncExitStack) -> aiohttp.ClientResponse:
        if (wait := self._not_before.get(call.home, 0) - self._clock()) > 0:
            await self._sleep(wait)
        headers = dict(call.headers)
        # Redirects and uploads lead to stores with signed URLs, which must not get the registry's credentials.
        if url.origin() == call.home and (authorization := self._authorization(call)):
            headers["Authorization"] = authorization
        data = None
        if call.body is not None:
            headers["Content-Length"] = str(call.body.size)
            data = await stack.enter_async_context(aclosing(_counted(call.body.open(), call.tally)))
        call.tally.requests += 1
        request = self._session.request(
            call.method, url, headers=headers, data=data, allow_redirects=False, proxy=proxy_of(url)
        )
        return await stack.enter_async_context(request)

    def _authorization(self, call: Call) -> str | None:
        """Return a token for the scope, or else the login: ECR and other Basic registries need no token."""
        token = self._tokens.get((call.home, call.login, call.scope))
        return token or (call.login.basic if call.login else None)

    async def _authorize(self, call: Call, challenge: BearerChallenge) -> None:
        """Get the token that a challenge requires; many calls at once get it once."""
        key = (call.home, call.login, call.scope)
        for old in [each for each in self._tokens if each[::2] == key[::2]]:  # ECR's login changes twice a day
            del self._tokens[old]
        self._tokens[key] = await self._token_once((*key, challenge), lambda: self._token(call, challenge))

    async def _token(self, call: Call, challenge: BearerChallenge) -> str:
        url = challenge.url()
        refuse_unsafe(url, call.about)
        headers = {"Authorization": call.login.basic} if call.login else {}
        call.tally.requests += 1
        async with self._session.get(url, headers=headers, proxy=proxy_of(url), allow_redirects=False) as response:
            body = await self._body(response, call.about, MOST_ANSWER_BYTES)
        if response.status != 200 or not (token := token_in(body)):
            raise error_of(response.status if response.status != 200 else 502, body, call.about)
        return f"Bearer {token}"


def _is_page(response: aiohttp.ClientResponse) -> bool:
    return response.content_type == "text/html" and "Content-Type" in response.headers


async def _counted(chunks: AsyncGenerator[Chunk, None], tally: Tally) -> AsyncGenerator[Chunk, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            tally.bytes_pushed += len(chunk)
            yield chunk


# ---- addresses -------------------------------------------------------------------------------------------------------
def location(answer: Answer, about: About) -> URL:
    """Return the absolute URL of a Location header, exactly as the registry encoded it."""
    return absolute(answer.url, answer.headers.get("Location", ""), about)


def absolute(here: URL, there: str, about: About) -> URL:
    """Return the URL of a reference in a response from `here`. Raises Refused for one that must not be followed."""
    try:
        url = here.join(URL(there, encoded=True))
    except ValueError as error:
        raise Refused(f"The registry {about.registry} refers to an address that is none.", says=str(error)) from error
    refuse_unsafe(url, about)
    return url


def refuse_unsafe(url: URL, about: About) -> None:
    """Raise Refused for what is no HTTPS; a registry of this machine may refer to this machine's plain HTTP."""
    there = f"{url.scheme}://{url.host or ''}" + (f":{url.explicit_port}" if url.explicit_port else "")
    if url.scheme not in ("http", "https") or not url.host:
        raise Refused(f"The registry {about.registry} refers to {there}, which is not an address on the network.")
    if url.scheme == "http" and not (is_loopback(url.host) and is_loopback(about.registry)):
        raise Refused(
            f"The registry {about.registry} refers to {there}, which is not encrypted.",
            advice="Only a registry on this machine may use plain HTTP: give this one a certificate.",
        )


def proxy_of(url: URL) -> str | None:
    """Return the proxy of the environment.

    aiohttp's own lookup would also send a .netrc's credentials, and use proxies for loopback.
    """
    if is_loopback(url.host or "") or urllib.request.proxy_bypass(url.host or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)
