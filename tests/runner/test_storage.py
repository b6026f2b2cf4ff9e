# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The bucket on bad days, and how the container gets its credentials."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.runner import bucket
from covalent_awsbatch_plugin.runner.protocol import layout
from tests.runner.bench import Container

DENIED = b"<Error><Code>AccessDenied</Code><Message>User: worker is not authorized</Message></Error>"
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
CREDENTIALS = {
    "AccessKeyId": "AKID",
    "SecretAccessKey": "hush",
    "Token": "hush",
    "Expiration": "2099-01-01T00:00:00Z",
}


class Answers(ThreadingHTTPServer):
    """Gives the prepared answers in turn, and then 200 for ever; remembers what it was asked."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer()

    def answer(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        status, body = self.server.answers.pop(0) if self.server.answers else (200, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_result_that_may_not_be_written_is_one_line_with_the_permission(
    container: Container, answers: Answers
) -> None:
    answers.answers = [(403, DENIED)]
    container.env["AWS_ENDPOINT_URL"] = answers.url
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == layout.NOT_COMMITTED.code
    line = ran.stderr.decode()
    assert line.count("\n") == 1
    assert line.startswith(f"covalent-awsbatch: s3://{container.bucket.name}/{ran.attempt}/result could not be written")
    assert "AccessDenied: User: worker is not authorized" in line
    assert "needs s3:PutObject" in line
    assert "testing" not in line


def test_a_busy_bucket_is_asked_again(container: Container, answers: Answers) -> None:
    answers.answers = [(503, BUSY), (500, b"")]
    container.env["AWS_ENDPOINT_URL"] = answers.url
    container.add(lambda: 1)
    assert container.run().exit_code == 0
    assert [verb for verb, *_ in answers.asked] == ["PUT"] * 3


def test_a_bucket_that_does_not_exist_is_named(container: Container) -> None:
    container.env[layout.ENV_BUCKET] = "nobody-made-this"
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == layout.NOT_COMMITTED.code
    assert "There is no bucket nobody-made-this (s3_bucket_name)" in ran.stderr.decode()


def test_credentials_come_from_the_containers_endpoint(container: Container, answers: Answers, tmp_path: Path) -> None:
    answers.answers = [(200, json.dumps(CREDENTIALS).encode())]
    token = tmp_path / "token"
    token.write_text("Bearer of this")
    container.env |= {
        "AWS_ENDPOINT_URL": answers.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{answers.url}/role",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }
    container.without = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    container.add(lambda: 1)
    assert container.run().exit_code == 0
    (_, role, bearer), (verb, _, signed) = answers.asked
    assert (role, bearer, verb) == ("/role", "Bearer of this", "PUT")
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-central-1/s3/" in signed


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Error performing PUT http://169.254.169.254/latest/api/token", "No credentials were found"),
        ("Error performing PUT https://s3.eu-central-1.amazonaws.com/b/k - HTTP error", "must reach S3"),
        ("Client error with status 403 Forbidden", "needs s3:PutObject on this bucket's covalent-awsbatch/*"),
        ("<Code>NoSuchBucket</Code>", "There is no bucket b"),
    ],
)
def test_what_went_wrong_is_one_line_with_a_remedy(said: str, remedy: str) -> None:
    line = bucket.explain("s3:PutObject", "b", "k", f"{said}\n\nDebug source:\nmuch more")
    assert line.startswith("s3://b/k could not be written: ")
    assert remedy in line
    assert "Debug source" not in line
    assert "\n" not in line
