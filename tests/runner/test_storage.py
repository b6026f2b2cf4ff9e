# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The bucket on bad days, and how the container gets its credentials."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.runner import bucket
from covalent_awsbatch_plugin.runner.client_settings import ClientSettings, only_own_variables
from covalent_awsbatch_plugin.runner.protocol import layout
from tests.certificates import Authority, served_with_tls
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


def role_at(answers: Answers, folder: Path) -> dict[str, str]:
    """The variables of a container with a job role, whose credentials endpoint is also its S3."""
    token = folder / "token"
    token.write_text("Bearer of this")
    return {
        layout.ENV_ENDPOINT: answers.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{answers.url}/role",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }


def test_a_result_that_may_not_be_written_is_one_line_with_the_permission(
    container: Container, answers: Answers
) -> None:
    answers.answers = [(403, DENIED)]
    container.env[layout.ENV_ENDPOINT] = answers.url
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == layout.NOT_COMMITTED.code
    line = ran.tasks_stderr
    assert line.count("\n") == 1
    assert line.startswith(f"covalent-awsbatch: s3://{container.bucket.name}/{ran.attempt}/result could not be written")
    assert "AccessDenied: User: worker is not authorized" in line
    assert "needs s3:PutObject" in line
    assert "testing" not in line


def test_a_busy_bucket_is_asked_again(container: Container, answers: Answers) -> None:
    answers.answers = [(503, BUSY), (500, b"")]
    container.env[layout.ENV_ENDPOINT] = answers.url
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
    container.env |= role_at(answers, tmp_path)
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


# ---- the variables of the base image --------------------------------------------------------------------------------
STEERING = {
    "AWS_ENDPOINT": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    "AWS_SKIP_SIGNATURE": "true",
    "AWS_REGION": "ap-south-1",
    "AWS_S3_EXPRESS": "true",
    "AWS_SERVER_SIDE_ENCRYPTION": "aws:kms",
    "AWS_CHECKSUM_ALGORITHM": "sha256",
    "AWS_REQUEST_PAYER": "true",
}


def test_aws_variables_of_the_base_image_do_not_steer_the_result(container: Container) -> None:
    container.env |= STEERING
    container.add(lambda: 42)
    assert container.run().value() == 42


def test_the_function_sees_the_variables_of_the_base_image(container: Container) -> None:
    container.env |= STEERING | {"HTTP_PROXY": "http://127.0.0.1:9"}
    container.add(lambda: {name: os.environ.get(name) for name in (*STEERING, "HTTP_PROXY")})
    assert container.run().value() == STEERING | {"HTTP_PROXY": "http://127.0.0.1:9"}


def test_keys_of_the_base_image_do_not_replace_the_job_role(
    container: Container, answers: Answers, tmp_path: Path
) -> None:
    answers.answers = [(200, json.dumps(CREDENTIALS).encode())]
    keys = {"AWS_ACCESS_KEY_ID": "somebody-elses", "AWS_SECRET_ACCESS_KEY": "somebody-elses"}
    container.env |= role_at(answers, tmp_path) | keys
    container.add(lambda: 1)
    assert container.run().exit_code == 0
    assert answers.asked[-1][2].startswith("AWS4-HMAC-SHA256 Credential=AKID/")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_base_image_is_not_asked_for_what_is_in_the_container(
    container: Container, answers: Answers, tmp_path: Path, variable: str
) -> None:
    answers.answers = [(200, json.dumps(CREDENTIALS).encode())]
    container.env |= role_at(answers, tmp_path) | {variable: "http://127.0.0.1:9", "NO_PROXY": ""}
    container.add(lambda: 1)
    assert container.run().exit_code == 0
    assert answers.asked[0][1] == "/role"


def test_a_proxy_of_the_base_image_leads_to_s3(container: Container, answers: Answers) -> None:
    container.env |= {layout.ENV_ENDPOINT: "http://s3.example.test", "HTTP_PROXY": answers.url}
    container.add(lambda: 1)
    ran = container.run()
    assert ran.exit_code == 0
    assert [path for _, path, _ in answers.asked] == [
        f"http://s3.example.test/{container.bucket.name}/{ran.attempt}/result"
    ]


@pytest.mark.parametrize("uri", ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", None])
def test_link_local_addresses_are_never_asked_of_a_proxy(
    monkeypatch: pytest.MonkeyPatch, answers: Answers, uri: str | None
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", answers.url)
    if uri:
        monkeypatch.setenv(uri, "/role")
    store = bucket.S3("b", ClientSettings("eu-west-1", "", "", ""), give_up_s=1)
    with pytest.raises(bucket.StorageError, match="No credentials were found"):
        store.put("k", b"")
    assert answers.asked == []


def test_the_variables_are_the_base_images_again_once_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    before = dict(os.environ)
    with only_own_variables():
        assert "AWS_ENDPOINT" not in os.environ
        assert os.environ["NO_PROXY"].endswith("169.254.169.254,fd00:ec2::23,fd00:ec2::254,127.0.0.1,localhost,::1")
    assert dict(os.environ) == before


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_ca_in_the_base_image_is_trusted(container: Container, tmp_path: Path, variable: str) -> None:
    authority = Authority(tmp_path)
    with Answers() as server, served_with_tls(server, authority) as url:
        container.env |= {layout.ENV_ENDPOINT: url, variable: str(authority.ca_file)}
        container.add(lambda: 1)
        assert container.run().exit_code == 0


def test_a_certificate_that_the_image_does_not_trust_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    authority = Authority(tmp_path)
    with Answers() as server, served_with_tls(server, authority) as url:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        store = bucket.S3("b", ClientSettings("eu-west-1", url, "", ""), give_up_s=1)
        with pytest.raises(bucket.StorageError, match="The certificate is not one that the image trusts"):
            store.put("k", b"")


@pytest.mark.parametrize(
    ("env", "endpoint", "remedy"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "https://s3.example.test", "The base image sets HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, "https://127.0.0.1:9", "a NAT gateway or an S3 endpoint"),
        ({}, "https://s3.nowhere.invalid", "must resolve AWS's names"),
    ],
)
def test_a_connection_that_fails_is_told_by_its_cause(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], endpoint: str, remedy: str
) -> None:
    for name, value in ({"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"} | env).items():
        monkeypatch.setenv(name, value)
    store = bucket.S3("b", ClientSettings("eu-west-1", endpoint, "", ""), give_up_s=1)
    with pytest.raises(bucket.StorageError, match=remedy):
        store.put("k", b"")


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (301, "PermanentRedirect", "in another Region than this job was told"),
        (400, "AuthorizationHeaderMalformed", "in another Region than this job was told"),
        (403, "RequestTimeTooSkewed", "The clock of the instance is wrong"),
        (403, "AccessDenied: not authorized to perform: kms:GenerateDataKey", "kms:GenerateDataKey and kms:Decrypt"),
        (403, "AccessDenied: with an explicit deny in a resource-based policy", "set sse or kms_key"),
    ],
)
def test_an_answer_of_s3_is_told_by_its_cause(
    monkeypatch: pytest.MonkeyPatch, answers: Answers, status: int, code: str, remedy: str
) -> None:
    name, _, message = code.partition(": ")
    answers.answers = [(status, f"<Error><Code>{name}</Code><Message>{message}</Message></Error>".encode())]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    store = bucket.S3("b", ClientSettings("eu-west-1", answers.url, "", ""), give_up_s=1)
    with pytest.raises(bucket.StorageError, match=remedy):
        store.put("k", b"")


def test_results_are_written_with_the_encryption_of_the_job(container: Container) -> None:
    container.env |= {layout.ENV_SSE: "aws:kms", layout.ENV_KMS_KEY: "arn:aws:kms:eu-central-1:1:key/k"}
    container.add(lambda: b"v" * (layout.INLINE_PART_BYTES + 1))
    ran = container.run()
    assert ran.exit_code == 0
    written = [
        container.bucket.client.head_object(Bucket=container.bucket.name, Key=key) for key in container.bucket.listed()
    ]
    assert [(each["ServerSideEncryption"], each["SSEKMSKeyId"]) for each in written] == [
        ("aws:kms", "arn:aws:kms:eu-central-1:1:key/k")
    ] * 2
