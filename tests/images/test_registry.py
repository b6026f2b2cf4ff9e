# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A registry's bad days: tokens, redirects, throttling, lost connections, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.core.outage import LONGEST_PAUSE_SECONDS, PATIENCE_SECONDS, REFUSED_SECONDS
from covalent_awsbatch_plugin.errors import (
    ImageError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Refused,
    ServiceError,
    SettingError,
    Throttled,
    Unreachable,
)
from covalent_awsbatch_plugin.images.builders.builder import Login, Repository
from covalent_awsbatch_plugin.images.builders.registry_builder import TAG_FRESH_S, RegistryBuilder
from covalent_awsbatch_plugin.images.layer import digest_of, layer
from covalent_awsbatch_plugin.images.manifest import Descriptor
from covalent_awsbatch_plugin.images.registry.errors import About, MissingBlobs, error_of
from covalent_awsbatch_plugin.images.registry.repository import Blob, Registry
from covalent_awsbatch_plugin.images.registry.transport import RegistryHttp, absolute
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.services import Services
from tests.certificates import Authority

from .world import AMD64, LOGIN, Site, base_of, basic, local_site, put_base, serving, some_layers, task_layer

Trouble = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
DATA = os.urandom(3_000_000)


class Sleeps(list[float]):
    """A clock that needs no time; jitter takes the most there is."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
async def http(sleeps: Sleeps) -> AsyncIterator[RegistryHttp]:
    async with RegistryHttp(sleep=sleeps, jitter=lambda _, most: most) as http:
        yield http


@pytest.fixture
def tasks(http: RegistryHttp, local: Site) -> Registry:
    return Registry(http, local.host, "tasks", LOGIN)


def failing(times: int, answer: Callable[[web.Request], web.StreamResponse], method: str = "") -> Trouble:
    """Trouble for the first `times` requests of a method."""
    left = [times]

    async def trouble(request: web.Request) -> web.StreamResponse | None:
        if not left[0] or not request.method.startswith(method):
            return None
        left[0] -= 1
        return answer(request)

    return trouble


def dropped(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def problem(status: int, code: str, message: str) -> Callable[[web.Request], web.StreamResponse]:
    return lambda _: web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


# ---- trying again ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "answer", [problem(429, "TOOMANYREQUESTS", "Rate exceeded"), problem(503, "UNAVAILABLE", "soon"), dropped]
)
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
async def test_what_fails_for_a_while_succeeds(
    tasks: Registry, local: Site, sleeps: Sleeps, answer: Callable[[web.Request], web.StreamResponse], method: str
) -> None:
    local.trouble = failing(3, answer, method)
    blob = Blob.of(DATA)
    assert not await tasks.has_blob(blob.digest)
    await tasks.upload(blob)
    local.trouble = None
    assert await tasks.has_blob(blob.digest)
    # What is lost on a connection that was used before, aiohttp may send again by itself.
    assert sleeps == [0.2, 0.4, 0.8][: len(sleeps)]
    assert sleeps


async def test_what_fails_for_ever_is_given_up(tasks: Registry, local: Site, sleeps: Sleeps) -> None:
    local.trouble = failing(10**6, problem(429, "TOOMANYREQUESTS", "Rate exceeded"))
    with pytest.raises(Throttled, match="Rate exceeded") as caught:
        await tasks.upload(Blob.of(DATA))
    assert caught.value.retry_may_help
    assert len(local.log) == len(sleeps) + 1
    assert PATIENCE_SECONDS - LONGEST_PAUSE_SECONDS < sum(sleeps) <= PATIENCE_SECONDS
    assert max(sleeps) <= LONGEST_PAUSE_SECONDS


async def test_a_registry_that_says_when_to_come_again_is_left_alone_by_all(
    tasks: Registry, http: RegistryHttp, local: Site, sleeps: Sleeps
) -> None:
    later = web.json_response({"errors": [{"code": "TOOMANYREQUESTS"}]}, status=429, headers={"Retry-After": "7"})
    local.trouble = failing(1, lambda _: later)
    assert not await tasks.has_blob(digest_of(DATA))
    assert await Registry(http, local.host, "others", LOGIN).manifest_digest("latest") is None
    asked = [round(seconds) for seconds in sleeps if seconds > 1]
    assert asked == [7, 7]


async def test_manifests_go_in_below_ten_a_second(tasks: Registry, local: Site) -> None:
    layers = some_layers(1)
    base = base_of(layers)
    await put_base(local.repository(), base, layers)
    began = time.monotonic()
    await asyncio.gather(*(tasks.put_manifest(base.manifest, f"task-{number}") for number in range(12)))
    assert time.monotonic() - began > 1  # eleven of them after the first second's ten


async def test_what_is_refused_is_not_tried_again(tasks: Registry, local: Site, sleeps: Sleeps) -> None:
    local.trouble = failing(1, problem(400, "UNSUPPORTED", "not here"))
    with pytest.raises(Refused, match="UNSUPPORTED: not here"):
        await tasks.upload(Blob.of(DATA))
    assert sleeps == []


async def test_a_registry_that_is_not_there_is_unreachable(http: RegistryHttp, sleeps: Sleeps) -> None:
    async with serving(web.Application()) as host:
        pass
    with pytest.raises(Unreachable, match=f"{host} could not be reached for a pull of {host}/tasks:x"):
        await Registry(http, host, "tasks").manifest("x")
    assert REFUSED_SECONDS - LONGEST_PAUSE_SECONDS < sum(sleeps) <= REFUSED_SECONDS


async def test_a_registry_that_has_answered_and_is_gone_is_waited_for(http: RegistryHttp, sleeps: Sleeps) -> None:
    app = web.Application()
    async with serving(app) as host:
        with pytest.raises(NotFound):
            await Registry(http, host, "tasks").manifest("x")
    with pytest.raises(Unreachable, match=f"{host} could not be reached for a pull of {host}/tasks:x"):
        await Registry(http, host, "tasks").manifest("x")
    assert PATIENCE_SECONDS - LONGEST_PAUSE_SECONDS < sum(sleeps) <= PATIENCE_SECONDS


async def test_requests_and_bytes_are_counted_with_what_was_sent_in_vain(tasks: Registry, local: Site) -> None:
    local.trouble = failing(1, problem(500, "UNKNOWN", "disk"), "POST")
    await tasks.upload(Blob.of(DATA))
    assert (tasks.tally.requests, tasks.tally.bytes_pushed) == (3, len(DATA))


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    tasks: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert not await tasks.has_blob(digest_of(b"x"))


# ---- logins and tokens -----------------------------------------------------------------------------------------------
class TokenServer:
    """A server of numbered tokens; only the newest opens the registry."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.host = ""

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return web.json_response({"token": f"number-{len(self.asked)}"})

    async def guard(self, request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Authorization") == f"Bearer number-{len(self.asked)}":
            return None
        realm = f'realm="http://{self.host}/token?a=b",service="the registry"'
        challenge = f'Bearer {realm},scope="repository:tasks:pull,push repository:base:pull"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})


@pytest.fixture
async def tokens(local: Site) -> AsyncIterator[TokenServer]:
    server = TokenServer()
    app = web.Application()
    app.router.add_get("/token", server.token)
    async with serving(app) as server.host:
        local.catalog.open, local.trouble = True, server.guard
        yield server


async def test_a_token_is_asked_for_once_for_many_calls(http: RegistryHttp, local: Site, tokens: TokenServer) -> None:
    registry = Registry(http, local.host, "tasks")
    await asyncio.gather(*(registry.has_blob(digest_of(b"x")) for _ in range(20)))
    assert not await registry.has_blob(digest_of(b"x"))
    [asked] = tokens.asked
    assert asked.query.getall("scope") == ["repository:tasks:pull,push", "repository:base:pull"]
    assert (asked.query["service"], asked.query["a"]) == ("the registry", "b")
    assert "Authorization" not in asked.headers


async def test_a_login_buys_a_token_and_is_not_sent_after_that(
    http: RegistryHttp, local: Site, tokens: TokenServer
) -> None:
    login = Login("me", "a password")
    registry = Registry(http, local.host, "tasks", login)
    await registry.upload(Blob.of(DATA))
    assert [asked.headers["Authorization"] for asked in tokens.asked] == [basic(login)]
    assert [each.get("Authorization") for each in local.headers] == [basic(login), "Bearer number-1", "Bearer number-1"]


async def test_a_token_that_has_expired_is_replaced(http: RegistryHttp, local: Site, tokens: TokenServer) -> None:
    registry = Registry(http, local.host, "tasks")
    await registry.has_blob(digest_of(b"x"))
    tokens.asked *= 2  # what the first token was good for has passed
    await registry.has_blob(digest_of(b"x"))
    assert len(tokens.asked) == 3


async def test_a_token_that_opens_nothing_is_told(http: RegistryHttp, local: Site, tokens: TokenServer) -> None:
    local.trouble = failing(100, lambda _: web.Response(status=401, headers={"WWW-Authenticate": _bearer(tokens)}))
    with pytest.raises(NotAuthenticated, match="requires a login"):
        await Registry(http, local.host, "nothing").manifest("latest")
    assert len(tokens.asked) == 1


def _bearer(tokens: TokenServer) -> str:
    return f'Bearer realm="http://{tokens.host}/token"'


async def test_a_login_that_a_token_server_does_not_know_is_told(http: RegistryHttp, local: Site) -> None:
    async with serving(web.Application()) as host:  # answers 404, whoever asks
        challenge = f'Bearer realm="http://{host}/token"'
        local.trouble = failing(100, lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge}))
        with pytest.raises(ServiceError):
            await Registry(http, local.host, "tasks", LOGIN).manifest("latest")


async def test_a_token_server_without_encryption_is_not_given_the_login(http: RegistryHttp, local: Site) -> None:
    challenge = 'Bearer realm="http://tokens.invalid/token"'
    local.trouble = failing(100, lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge}))
    with pytest.raises(Refused, match=r"refers to http://tokens\.invalid, which is not encrypted"):
        await Registry(http, local.host, "tasks", LOGIN).manifest("latest")


async def test_a_login_is_in_no_text(tasks: Registry, local: Site) -> None:
    assert LOGIN.password not in repr(LOGIN) + repr(local.repository())
    local.trouble = failing(1, problem(403, "DENIED", "no"))
    with pytest.raises(NotAllowed) as caught:
        await tasks.manifest("x")
    assert LOGIN.password not in f"{caught.value}{caught.value!r}"


# ---- redirects -------------------------------------------------------------------------------------------------------
@pytest.fixture
async def store(local: Site) -> AsyncIterator[Site]:
    """Another host where blobs really lie, to which the registry redirects: as S3 behind ECR."""
    site = Site("", local.catalog)

    async def get(request: web.Request) -> web.StreamResponse:
        site.headers.append(dict(request.headers))
        assert local.blobs is not None
        return web.FileResponse(local.blobs.path(request.match_info["digest"]))

    async def put(request: web.Request) -> web.StreamResponse:
        site.headers.append(dict(request.headers))
        assert local.blobs is not None
        upload, digest = local.blobs.begin(), request.query["digest"]
        upload.write(await request.read())
        held = local.catalog.blobs("tasks")
        assert held is not None
        held[digest] = local.blobs.finish(upload, digest)
        return web.Response(status=201)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/get/{digest}", get)
    app.router.add_put("/put", put)
    async with serving(app) as site.host:
        yield site


async def test_a_redirected_download_does_not_say_who_we_are(tasks: Registry, local: Site, store: Site) -> None:
    blob = Blob.of(DATA)
    await tasks.upload(blob)
    local.trouble = failing(1, lambda _: _redirect(f"http://{store.host}/get/{blob.digest}"), "GET")
    assert await tasks.read_blob(Descriptor("any", blob.digest, blob.size)) == DATA
    [headers] = store.headers
    assert "Authorization" not in headers


async def test_a_redirected_upload_does_not_say_who_we_are(tasks: Registry, local: Site, store: Site) -> None:
    blob = Blob.of(DATA)
    local.trouble = failing(1, lambda _: _redirect(f"http://{store.host}/put?digest={blob.digest}"), "PUT")
    await tasks.upload(blob)
    [headers] = store.headers
    assert "Authorization" not in headers
    assert headers["Content-Length"] == str(len(DATA))
    assert "Transfer-Encoding" not in headers
    assert await tasks.has_blob(blob.digest)


async def test_an_upload_may_begin_at_another_host(tasks: Registry, local: Site, store: Site) -> None:
    there = web.Response(status=202, headers={"Location": f"http://{store.host}/put?state=a%2Fb%3D"})
    local.trouble = failing(1, lambda _: there, "POST")
    await tasks.upload(Blob.of(DATA))
    assert "Authorization" not in store.headers[0]


async def test_a_redirect_without_encryption_is_refused(tasks: Registry, local: Site) -> None:
    local.trouble = failing(1, lambda _: _redirect("http://blobs.invalid/x"))
    with pytest.raises(Refused, match=r"refers to http://blobs\.invalid, which is not encrypted"):
        await tasks.manifest("x")


async def test_a_circle_of_redirects_ends(tasks: Registry, local: Site) -> None:
    local.trouble = failing(100, lambda request: _redirect(request.path))
    with pytest.raises(Refused, match="redirects more than 5 times"):
        await tasks.manifest("x")


def _redirect(to: str) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": to})


@pytest.mark.parametrize(
    "there", ["file:///etc/passwd", "file://localhost/etc/passwd", "ftp://127.0.0.1/x", "http://[1"]
)
@pytest.mark.parametrize("status", [202, 307])
async def test_an_address_that_is_not_of_the_network_is_refused(
    tasks: Registry, local: Site, sleeps: Sleeps, there: str, status: int
) -> None:
    local.trouble = failing(9, lambda _: web.Response(status=status, headers={"Location": there}))
    with pytest.raises(Refused, match="not an address on the network|an address that is none|not encrypted"):
        await tasks.upload(Blob.of(DATA))
    assert sleeps == []


@pytest.mark.parametrize("there", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]/x"])
def test_a_registry_elsewhere_can_not_refer_to_this_machine(there: str) -> None:
    about = About("registry.example", "registry.example/tasks", push=False, login=False)
    with pytest.raises(Refused, match="not encrypted"):
        absolute(URL("https://registry.example/v2/"), there, about)


# ---- bodies without an end -------------------------------------------------------------------------------------------
async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(status=int(request.query.get("status", "200")))
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(bytes(1 << 20))
    return answer


@pytest.mark.parametrize("reference", ["latest", digest_of(b"x")])
async def test_a_manifest_without_an_end_is_refused(
    tasks: Registry, local: Site, sleeps: Sleeps, reference: str
) -> None:
    local.trouble = endless
    with pytest.raises(Refused, match=r"sent more than the 16,777,216 bytes"):
        await tasks.manifest(reference)
    assert sleeps == []


async def test_a_blob_longer_than_its_size_is_refused(tasks: Registry, local: Site) -> None:
    local.trouble = endless
    with pytest.raises(Refused, match=r"sent more than the 1,000 bytes"):
        await tasks.read_blob(Descriptor("any", digest_of(b"x"), 1000))


async def test_an_error_without_an_end_is_told_by_its_beginning(tasks: Registry, local: Site) -> None:
    async def trouble(request: web.Request) -> web.StreamResponse:
        return await endless(request.clone(rel_url=request.rel_url.with_query(status="400")))

    local.trouble = trouble
    with pytest.raises(Refused, match="HTTP 400"):
        await tasks.manifest("latest")


async def test_a_token_without_an_end_is_refused(http: RegistryHttp, local: Site) -> None:
    app = web.Application()
    app.router.add_get("/token", endless)
    async with serving(app) as host:
        challenge = f'Bearer realm="http://{host}/token"'
        local.trouble = failing(9, lambda _: web.Response(status=401, headers={"WWW-Authenticate": challenge}))
        with pytest.raises(Refused, match="sent more than"):
            await Registry(http, local.host, "tasks", LOGIN).manifest("latest")


async def test_a_body_that_comes_in_drips_is_given_up(local: Site, sleeps: Sleeps) -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b"x")
                await asyncio.sleep(0.01)
        return answer

    local.trouble = drips
    minutes = itertools.count(step=60)  # at each look at the clock another minute has passed
    async with RegistryHttp(sleep=sleeps, jitter=lambda _, most: most, clock=lambda: float(next(minutes))) as http:
        with pytest.raises(Unreachable, match="sent only"):
            await Registry(http, local.host, "tasks", LOGIN).manifest("latest")


# ---- certificates ----------------------------------------------------------------------------------------------------
@pytest.fixture
async def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, Path]]:
    """A registry with a certificate of its own authority: its host, and the authority's file."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    authority, app = Authority(tmp_path), web.Application()

    async def manifest(_: web.Request) -> web.Response:
        return web.Response(body=b"{}", headers={"Docker-Content-Digest": digest_of(b"{}")})

    app.router.add_get("/v2/tasks/manifests/latest", manifest)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server_context()).start()
    yield f"0.0.0.0:{runner.addresses[0][1]}", authority.ca_file  # no loopback by its name: HTTPS
    await runner.cleanup()


async def test_a_certificate_that_is_not_trusted_is_told_as_such(private: tuple[str, Path], sleeps: Sleeps) -> None:
    async with RegistryHttp(sleep=sleeps) as http:
        with pytest.raises(Refused, match=r"is not trusted[\s\S]*set AWS_CA_BUNDLE"):
            await Registry(http, private[0], "tasks").manifest_digest("latest")
    assert sleeps == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", ""])
async def test_a_ca_of_ones_own_is_trusted(
    private: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    host, ca_file = private
    if variable == "SSL_CERT_FILE":  # OpenSSL reads it when a context is made, and aiohttp has made its own
        script = (
            "import asyncio\n"
            "from covalent_awsbatch_plugin.images import builders\n"
            "from covalent_awsbatch_plugin.images.registry.repository import Registry\n"
            "from covalent_awsbatch_plugin.images.registry.transport import RegistryHttp\n"
            "async def main():\n"
            "    async with RegistryHttp() as http:\n"
            f"        print(await Registry(http, {host!r}, 'tasks').manifest_digest('latest'))\n"
            "asyncio.run(main())\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=os.environ | {variable: str(ca_file)}, stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0].decode().strip() == digest_of(b"{}")
        return
    if variable:
        monkeypatch.setenv(variable, str(ca_file))
    async with RegistryHttp(ca_bundle="" if variable else str(ca_file)) as http:
        assert await Registry(http, host, "tasks").manifest_digest("latest") == digest_of(b"{}")


async def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"AWS_CA_BUNDLE.*nowhere\.pem"):
        await RegistryHttp(ca_bundle=str(tmp_path / "nowhere.pem")).__aenter__()


async def test_the_ca_bundle_of_the_aws_profile_is_the_registries_too(
    private: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, ca_file = private
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca_file))
    async with AWS(Connection(region="eu-west-1")) as aws:
        builder = await Services(aws).builder(Settings())
        with pytest.raises(NotFound):  # it knows the tag, and no digest
            await builder.resolve_base(f"{host}/tasks:latest", AMD64, Repository(host, "tasks"))


# ---- manifests and blobs ---------------------------------------------------------------------------------------------
async def test_an_immutable_tag_of_another_image_is_not_ours(tasks: Registry, local: Site) -> None:
    layers = some_layers(1)
    one, two = base_of(layers, python="3.11.1"), base_of(layers, python="3.11.2")
    await put_base(local.repository(), one, layers, "taken")
    await put_base(local.repository(), two, layers, "free")
    local.catalog.immutable = True
    await tasks.put_manifest(one.manifest, "taken")
    with pytest.raises(Refused, match="TAG_INVALID: The image tag 'taken' already exists"):
        await tasks.put_manifest(two.manifest, "taken")


async def test_a_manifest_whose_blobs_are_not_there_is_told_apart(tasks: Registry) -> None:
    with pytest.raises(MissingBlobs, match="MANIFEST_BLOB_UNKNOWN"):
        await tasks.put_manifest(base_of(some_layers(1)).manifest, "x")


async def test_bytes_that_do_not_have_their_digest_are_not_taken(tasks: Registry, local: Site) -> None:
    local.trouble = failing(100, lambda _: web.Response(body=b"{}"), "GET")
    with pytest.raises(ImageError, match="sent bytes whose digest is not"):
        await tasks.manifest(digest_of(b"something else"))
    with pytest.raises(ImageError, match="sent bytes whose digest is not"):
        await tasks.read_blob(Descriptor("any", digest_of(b"something else"), 2))


async def test_a_mount_that_is_forbidden_is_sent(tasks: Registry, local: Site) -> None:
    local.trouble = failing(1, problem(403, "DENIED", "no access to the source"), "POST")
    await tasks.upload(Blob.of(DATA), mount_from="base")
    assert await tasks.has_blob(digest_of(DATA))


async def test_a_mount_that_is_not_granted_begins_the_upload(tasks: Registry, local: Site) -> None:
    await tasks.upload(Blob.of(DATA), mount_from="base")
    assert [line.split()[0] for line in local.log] == ["POST", "PUT"]


async def test_the_upload_is_one_put(tasks: Registry, local: Site) -> None:
    await tasks.upload(Blob.of(DATA))
    assert [line.split()[0] for line in local.log] == ["POST", "PUT"]
    assert local.headers[1]["Content-Length"] == str(len(DATA))


# ---- the builder on bad days -----------------------------------------------------------------------------------------
async def test_a_base_elsewhere_is_streamed_and_never_whole_in_memory(local: Site, tmp_path: Path) -> None:
    big = layer({"big": os.urandom(60_000_000)})
    (tmp_path / "elsewhere").mkdir()
    async with local_site(tmp_path / "elsewhere") as hub, RegistryBuilder(logins={hub.host: LOGIN}) as builder:
        name = await put_base(hub.repository("python"), base_of([big]), [big])
        base = await builder.resolve_base(name, AMD64, local.repository())
        tracemalloc.start()
        try:
            image = await builder.push(base, [task_layer()], local.repository())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert image.bytes_pushed > big.size
    assert peak < 30_000_000


async def test_a_stream_that_breaks_begins_again(local: Site, tmp_path: Path, sleeps: Sleeps) -> None:
    big = layer({"big": DATA})
    (tmp_path / "elsewhere").mkdir()

    async def broken(request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or big.digest not in request.path:
            return None
        hub.trouble = None
        answer = web.StreamResponse(headers={"Content-Length": str(big.size)})
        await answer.prepare(request)
        await answer.write(big.data[:1_500_000])
        return dropped(request)

    async with (
        local_site(tmp_path / "elsewhere") as hub,
        RegistryBuilder(logins={hub.host: LOGIN}, sleep=sleeps) as builder,
    ):
        name = await put_base(hub.repository("python"), base_of([big]), [big])
        base = await builder.resolve_base(name, AMD64, local.repository())
        hub.trouble = broken
        await builder.push(base, [task_layer()], local.repository())
    assert len(sleeps) == 1
    assert big.digest in (local.catalog.blobs("tasks") or {})


async def test_a_tag_is_believed_for_some_minutes(local: Site) -> None:
    now = [1000.0]
    one, two = base_of(some_layers(1), python="3.11.1"), base_of(some_layers(1), python="3.11.2")
    into = local.repository()
    async with RegistryBuilder(clock=lambda: now[0]) as builder:
        name = await put_base(into, one, some_layers(1))
        assert (await builder.resolve_base(name, AMD64, into)).python == "3.11.1"
        await put_base(into, two, some_layers(1))
        del local.log[:]
        assert (await builder.resolve_base(name, AMD64, into)).python == "3.11.1"
        assert local.log == []
        now[0] += TAG_FRESH_S
        assert (await builder.resolve_base(name, AMD64, into)).python == "3.11.2"


async def test_a_base_by_digest_is_read_once(local: Site) -> None:
    into, layers = local.repository(), some_layers(1)
    base = base_of(layers)
    await put_base(into, base, layers)
    async with RegistryBuilder() as builder:
        del local.log[:]
        for _ in range(3):
            await builder.resolve_base(f"{into.uri}@{base.digest}", AMD64, into)
    assert [line.split()[0] for line in local.log] == ["GET", "GET"]


async def test_twenty_look_a_base_up_once(local: Site) -> None:
    into, layers = local.repository(), some_layers(1)
    name = await put_base(into, base_of(layers), layers)
    async with RegistryBuilder() as builder:
        del local.log[:]
        await asyncio.gather(*(builder.resolve_base(name, AMD64, into) for _ in range(20)))
    assert [line.split()[0] for line in local.log] == ["HEAD", "GET", "GET"]


async def test_a_task_that_is_cancelled_leaves_the_base_to_the_others(local: Site) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST":
            arrived.set()
            await go.wait()
        return None

    base, layers = local.repository("base"), some_layers(2)
    name = await put_base(base, base_of(layers), layers)
    async with RegistryBuilder() as builder:
        found = await builder.resolve_base(name, AMD64, local.repository())
        local.trouble = slow
        pushes = [
            asyncio.create_task(builder.push(found, [task_layer(text)], local.repository())) for text in ("one", "two")
        ]
        await arrived.wait()
        pushes[0].cancel()
        await asyncio.wait(pushes[:1])
        go.set()
        assert (await pushes[1]).digest
    assert pushes[0].cancelled()


# ---- what answers mean -----------------------------------------------------------------------------------------------
PULL = About("host", "host/python:3", push=False, login=False)
PUSH = About("host", "host/tasks", push=True, login=True)


def body(code: str, message: str) -> bytes:
    return f'{{"errors": [{{"code": "{code}", "message": "{message}"}}]}}'.encode()


@pytest.mark.parametrize(
    ("status", "text", "about", "kind", "words"),
    [
        (401, body("UNAUTHORIZED", "x"), PUSH, NotAuthenticated, "did not accept the login for a push to host/tasks"),
        (401, b"", PULL, NotAuthenticated, "requires a login for a pull of host/python:3"),
        (403, body("DENIED", "Your authorization token has expired"), PUSH, NotAuthenticated, "token has expired"),
        (403, body("DENIED", "User is not authorized"), PUSH, NotAllowed, "`ecr:PutImage`"),
        (403, body("DENIED", "User is not authorized"), PULL, NotAllowed, "`ecr:BatchGetImage`"),
        (404, body("MANIFEST_UNKNOWN", "x"), PULL, NotFound, "The image host/python:3"),
        (404, body("NAME_UNKNOWN", "x"), PUSH, NotFound, "Create the repository, or correct `ecr_repo_name`"),
        (404, body("BLOB_UNKNOWN", "x"), PUSH, MissingBlobs, "refused a push"),
        (400, body("MANIFEST_BLOB_UNKNOWN", "x"), PUSH, MissingBlobs, "MANIFEST_BLOB_UNKNOWN: x"),
        (429, body("TOOMANYREQUESTS", "x"), PULL, Throttled, "limit anonymous pulls"),
        (429, body("TOOMANYREQUESTS", "x"), PUSH, Throttled, "quota"),
        (502, b"<html>\n<b>Bad</b> gateway</html>", PULL, Unreachable, "HTTP 502: <html> <b>Bad</b> gateway</html>"),
        (418, b"", PULL, Refused, "HTTP 418"),
        (400, b'{"errors": []}', PULL, Refused, "refused a pull"),
        (400, b'{"errors": [{"code": "X"}]}', PULL, Refused, "X"),
        (400, b'[{"errors": 1}]', PULL, Refused, "HTTP 400"),
    ],
)
def test_an_answer_is_an_error_with_the_registry_s_own_words(
    status: int, text: bytes, about: About, kind: type[ServiceError], words: str
) -> None:
    error = error_of(status, text, about)
    assert type(error) is kind
    assert words in str(error)


def test_a_repository_is_what_ecr_says() -> None:
    uri = "1234.dkr.ecr.eu-west-1.amazonaws.com/team/tasks"
    assert Repository.at(uri, LOGIN) == Repository("1234.dkr.ecr.eu-west-1.amazonaws.com", "team/tasks", LOGIN)
    assert Repository.at(uri).uri == uri
