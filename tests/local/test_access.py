# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline AWS answers programs of this machine that hold a key of it, and nobody else: over real HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.local.iam.origin import is_loopback, is_own
from tests.local.conftest import worlds
from tests.local.small_world import World

EVIL = "http://evil.example"
DEFINITION = {
    "jobDefinitionName": "theirs", "type": "container",
    "containerProperties": {"image": "python", "resourceRequirements": [
        {"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"},
    ]},
}  # fmt: skip
REGISTER = "/v1/registerjobdefinition"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """An error's, of a service that speaks JSON."""
        told = json.loads(self.body)
        return str(self.headers.get("x-amzn-errortype") or told.get("__type"))


@dataclass
class Sender:
    """Signs and sends requests byte by byte as told, which no client library would."""

    endpoint: str
    keys: Credentials
    region: str = "us-east-1"
    host: str = field(init=False)

    def __post_init__(self) -> None:
        self.host = urlsplit(self.endpoint).netloc

    def signed(
        self, service: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The headers of a request to `path`, with those given among the signed."""
        request = AWSRequest(method, self.endpoint + path, {"Host": self.host} | dict(headers or {}), body)
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        kind(self.keys, service, self.region).add_auth(request)
        return dict(request.headers.items())

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        told = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return told

    def register(self, **changed: str) -> Answer:
        """RegisterJobDefinition, signed, with headers changed before that."""
        headers = {"Content-Type": "application/json"} | changed
        body = json.dumps(DEFINITION).encode()
        return self.send("POST", REGISTER, self.signed("batch", "POST", REGISTER, body, headers), body)


@pytest.fixture(scope="module")
def guarded() -> Iterator[World]:
    yield from worlds("process")


@pytest.fixture(scope="module")
def keys(guarded: World) -> Credentials:
    session = botocore.session.Session(profile=guarded.settings["profile"])
    session.set_config_variable("credentials_file", guarded.settings["credentials"])
    found = session.get_credentials().get_frozen_credentials()
    return Credentials(found.access_key, found.secret_key)


@pytest.fixture
def sender(guarded: World, keys: Credentials) -> Sender:
    return Sender(guarded.aws.endpoint_url, keys)


@pytest.fixture
def stranger(guarded: World) -> Sender:
    """Another user of the machine, who has no key."""
    return Sender(guarded.aws.endpoint_url, Credentials("AKIAMADEUP", "made-up"))


# ---- RegisterJobDefinition, with which jobs run as the user ---------------------------------------------------------
def test_a_signed_definition_is_registered(sender: Sender) -> None:
    assert sender.register().status == 200


def test_an_unsigned_definition_is_refused(sender: Sender) -> None:
    headers = {"Host": sender.host, "Content-Type": "application/json"}
    answer = sender.send("POST", REGISTER, headers, json.dumps(DEFINITION).encode())
    assert (answer.status, answer.code) == (403, "MissingAuthenticationTokenException")


def test_a_definition_signed_with_an_unknown_key_is_refused(stranger: Sender) -> None:
    answer = stranger.register()
    assert (answer.status, answer.code) == (403, "UnrecognizedClientException")


def test_a_definition_signed_with_a_wrong_secret_is_refused(sender: Sender) -> None:
    sender.keys = Credentials(sender.keys.access_key, "made-up")
    answer = sender.register()
    assert (answer.status, answer.code) == (403, "InvalidSignatureException")


@pytest.mark.parametrize("made_up", ["AWS4-HMAC-SHA256 Credential=x", "AWS4-HMAC-SHA256", "Basic eDp5", "AWS me:sig"])
def test_a_made_up_authorization_is_refused(sender: Sender, made_up: str) -> None:
    headers = {"Host": sender.host, "Content-Type": "application/json", "Authorization": made_up}
    answer = sender.send("POST", REGISTER, headers, json.dumps(DEFINITION).encode())
    assert (answer.status, answer.code) == (403, "IncompleteSignatureException")


def test_a_definition_to_a_foreign_host_is_refused(sender: Sender) -> None:
    answer = sender.register(Host="evil.example")
    assert (answer.status, answer.code) == (403, "AccessDeniedException")


@pytest.mark.parametrize("origin", [EVIL, "null", "file://", "http://127.0.0.1.evil.example", "http://[evil"])
def test_a_definition_of_a_foreign_page_is_refused(sender: Sender, origin: str) -> None:
    answer = sender.register(Origin=origin)
    assert (answer.status, answer.code) == (403, "AccessDeniedException")


@pytest.mark.parametrize("host", ["127.0.0.1:1", "127.9.8.7", "localhost:8080", "[::1]:99", "host.docker.internal:5"])
def test_a_proxy_on_this_machine_may_stand_in_front(sender: Sender, host: str) -> None:
    assert sender.register(Host=host).status == 200


# ---- what a signature covers ----------------------------------------------------------------------------------------
def test_a_body_that_was_changed_is_refused(sender: Sender) -> None:
    body = json.dumps(DEFINITION).encode()
    headers = sender.signed("batch", "POST", REGISTER, body, {"Content-Type": "application/json"})
    assert sender.send("POST", REGISTER, headers, body.replace(b"theirs", b"others")).status == 403


def test_a_path_that_was_changed_is_refused(sender: Sender) -> None:
    headers = sender.signed("batch", "POST", "/v1/describejobqueues", b"{}", {"Content-Type": "application/json"})
    assert sender.send("POST", "/v1/describejobqueues", headers, b"{}").status == 200
    assert sender.send("POST", "/v1/describecomputeenvironments", headers, b"{}").status == 403


def test_a_query_that_was_changed_is_refused(guarded: World, sender: Sender) -> None:
    bucket = f"/{guarded.settings['s3_bucket_name']}"
    headers = sender.signed("s3", "GET", f"{bucket}?list-type=2&prefix=a")
    assert sender.send("GET", f"{bucket}?prefix=a&list-type=2", headers).status == 200
    assert sender.send("GET", f"{bucket}?list-type=2&prefix=b", headers).status == 403


def test_a_method_that_was_changed_is_refused(guarded: World, sender: Sender) -> None:
    path = f"/{guarded.settings['s3_bucket_name']}/none"
    headers = sender.signed("s3", "GET", path)
    assert sender.send("GET", path, headers).status == 404
    assert sender.send("DELETE", path, headers).status == 403


def test_a_signed_header_that_was_changed_is_refused(sender: Sender) -> None:
    told = {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
            "Content-Type": "application/x-amz-json-1.1"}  # fmt: skip
    headers = sender.signed("ecr", "POST", "/", b"{}", told)
    assert sender.send("POST", "/", headers, b"{}").status == 200
    headers["X-Amz-Target"] = told["X-Amz-Target"].replace("DescribeRepositories", "GetAuthorizationToken")
    assert sender.send("POST", "/", headers, b"{}").status == 403


def test_an_amazon_header_that_is_not_signed_is_refused(guarded: World, sender: Sender) -> None:
    path = f"/{guarded.settings['s3_bucket_name']}/copied"
    headers = sender.signed("s3", "PUT", path) | {"X-Amz-Copy-Source": "elsewhere/key"}
    assert sender.send("PUT", path, headers).status == 403


def test_a_signature_of_yesterday_is_refused(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"X-Amz-Date": "20200101T000000Z", "Content-Type": "application/json", "Host": sender.host}
    request = AWSRequest("POST", sender.endpoint + REGISTER, headers, b"{}")
    request.context["timestamp"] = headers["X-Amz-Date"]
    auth = SigV4Auth(sender.keys, "batch", sender.region)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    scope = f"{sender.keys.access_key}/20200101/{sender.region}/batch/aws4_request"
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )
    answer = sender.send("POST", REGISTER, headers, b"{}")
    assert (answer.status, answer.code) == (403, "InvalidSignatureException")
    assert b"Signature expired" in answer.body


@pytest.mark.parametrize("key", ["a b+c", "ü/%41/~._-", "a//b/../c", "x=1&y?z", "*'()!"])
def test_objects_of_any_name_and_metadata_are_written_and_read(guarded: World, key: str) -> None:
    s3, bucket = guarded.client("s3"), guarded.settings["s3_bucket_name"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"12", Metadata={"a_b": "two  spaces"})
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"12"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]] == [key]


def test_a_body_that_s3_did_not_sign_for_is_refused(guarded: World, sender: Sender) -> None:
    path = f"/{guarded.settings['s3_bucket_name']}/object"
    headers = sender.signed("s3", "PUT", path, b"mine")
    assert sender.send("PUT", path, headers, b"mine").status == 200
    answer = sender.send("PUT", path, headers, b"evil")
    assert answer.status == 403
    assert b"<Code>XAmzContentSHA256Mismatch</Code>" in answer.body


# ---- presigned URLs -------------------------------------------------------------------------------------------------
@pytest.fixture
def presigned(guarded: World) -> str:
    """Path and query of an object's URL."""
    bucket = guarded.settings["s3_bucket_name"]
    guarded.client("s3").put_object(Bucket=bucket, Key="shared", Body=b"12")
    session = botocore.session.Session(profile=guarded.settings["profile"])
    session.set_config_variable("credentials_file", guarded.settings["credentials"])
    s3 = session.create_client("s3", config=Config(signature_version="s3v4"))
    url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "shared"}))
    return f"{url.path}?{url.query}"


def test_a_presigned_url_opens_its_object_and_no_other(sender: Sender, presigned: str) -> None:
    here = {"Host": sender.host}
    assert sender.send("GET", presigned, here).body == b"12"
    for changed in ("/shared?", "/other?"), ("X-Amz-Expires=3600", "X-Amz-Expires=7200"), ("Signature=", "Signature=0"):
        assert presigned.count(changed[0]) == 1
        assert sender.send("GET", presigned.replace(*changed), here).status == 403
    assert sender.send("DELETE", presigned, here).status == 403
    assert sender.send("GET", presigned, {"Host": "evil.example"}).status == 403


def test_a_presigned_url_of_a_stranger_opens_nothing(stranger: Sender) -> None:
    request = AWSRequest("GET", f"{stranger.endpoint}/")
    SigV4QueryAuth(stranger.keys, "s3", stranger.region).add_auth(request)
    url = urlsplit(request.url)
    assert stranger.send("GET", f"{url.path}?{url.query}", {"Host": stranger.host}).status == 403


# ---- roles and users ------------------------------------------------------------------------------------------------
def test_a_roles_keys_are_accepted_with_their_token_alone(guarded: World, sender: Sender) -> None:
    role = guarded.role("batch_job_role_name")
    given = guarded.client("sts").assume_role(RoleArn=role, RoleSessionName="mine")["Credentials"]
    sender.keys = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    assert sender.register().status == 200
    for token in (None, "made-up"):
        sender.keys = Credentials(given["AccessKeyId"], given["SecretAccessKey"], token)
        answer = sender.register()
        assert (answer.status, answer.code) == (403, "UnrecognizedClientException")


def test_a_key_that_is_switched_off_is_refused(guarded: World, sender: Sender) -> None:
    iam = guarded.client("iam")
    iam.create_user(UserName="leaving")
    key = iam.create_access_key(UserName="leaving")["AccessKey"]
    sender.keys = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    assert sender.register().status == 200
    iam.update_access_key(UserName="leaving", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert sender.register().status == 403
    iam.delete_access_key(UserName="leaving", AccessKeyId=key["AccessKeyId"])
    assert sender.register().status == 403


@pytest.mark.parametrize("name", ["provisioner", "testing", "covalent"])
def test_no_key_is_the_same_in_every_offline_aws(guarded: World, name: str) -> None:
    guessed = Sender(guarded.aws.endpoint_url, Credentials(name, name))
    assert guessed.register().status == 403


# ---- each service's own words ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("iam", "list_users", "InvalidClientTokenId"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("ecr", "get_authorization_token", "UnrecognizedClientException"),
        ("logs", "describe_log_groups", "UnrecognizedClientException"),
        ("batch", "list_jobs", "UnrecognizedClientException"),
    ],
)
def test_a_stranger_is_refused_in_the_services_words(stranger: Sender, service: str, operation: str, code: str) -> None:
    session = botocore.session.Session(profile=None)
    session.set_credentials("AKIAMADEUP", "made-up")
    client = session.create_client(service, stranger.region, endpoint_url=stranger.endpoint)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    told = caught.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == (code, 403)


def test_a_head_is_refused_without_words(stranger: Sender) -> None:
    answer = stranger.send("HEAD", "/bucket", stranger.signed("s3", "HEAD", "/bucket"))
    assert (answer.status, answer.body) == (403, b"")


# ---- pages ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/moto-api/data.json"), ("POST", "/moto-api/reset"), ("GET", "/moto-api/"), ("GET", "/favicon.ico"),
     ("GET", "/latest/meta-data/iam/security-credentials/"), ("PUT", "/latest/api/token")],
)  # fmt: skip
def test_motos_own_pages_are_closed(sender: Sender, method: str, path: str) -> None:
    assert sender.send(method, path, {"Host": sender.host}).status == 403
    assert sender.send(method, path, sender.signed("s3", method, path)).status == 403


@pytest.mark.parametrize("path", ["/_local/calls", "/_local/storm?seconds=1", "/_local/faults"])
def test_the_control_paths_want_their_token(guarded: World, sender: Sender, path: str) -> None:
    for login in ({}, {"Authorization": "Bearer made-up"}, sender.signed("s3", "GET", path)):
        assert sender.send("GET", path, {"Host": sender.host} | login).status == 403
    token = guarded.aws.control_token  # type: ignore[union-attr]
    assert sender.send("GET", "/_local/calls", {"Host": sender.host, "Authorization": f"Bearer {token}"}).status == 200


def test_no_answer_is_for_other_pages(guarded: World, sender: Sender) -> None:
    bucket = f"/{guarded.settings['s3_bucket_name']}"
    own = {"Origin": "http://localhost:3000"}
    answer = sender.send("GET", bucket, sender.signed("s3", "GET", bucket, headers=own))
    assert answer.status == 200
    preflight = {"Host": sender.host, "Origin": EVIL, "Access-Control-Request-Method": "PUT"}
    refused = sender.send("OPTIONS", bucket, preflight)
    assert refused.status == 403
    for each in (answer, refused):
        assert [name for name in each.headers if name.startswith("access-control-")] == []


# ---- the registry ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("foreign", [{"Host": "evil.example"}, {"Origin": EVIL}], ids=["host", "origin"])
def test_the_registry_refuses_foreign_pages(guarded: World, foreign: Mapping[str, str]) -> None:
    registry = guarded.registry()
    there = Sender(registry.url, Credentials("", ""))
    login = {"Host": there.host, "Authorization": f"Basic {registry.login}"}
    assert there.send("GET", "/v2/", login).status == 200
    answer = there.send("GET", "/v2/", login | dict(foreign))
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (403, "DENIED")
    assert there.send("GET", "/v2/", login | {"Authorization": "Basic QVdTOm1hZGUtdXA="}).status == 401


# ---- files ----------------------------------------------------------------------------------------------------------
def test_the_files_with_secrets_are_the_users_alone(guarded: World) -> None:
    folder = guarded.aws.state_dir  # type: ignore[union-attr]
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in ("credentials", "state.json")}
    assert modes == {"credentials": 0o600, "state.json": 0o600}


def test_a_credentials_file_that_others_made_before_is_replaced(tmp_path: Path) -> None:
    from covalent_awsbatch_plugin.core.files import atomic_write

    file = tmp_path / "credentials"
    file.write_text("theirs")
    file.chmod(0o666)
    with file.open() as theirs:
        atomic_write(file, "a secret", mode=0o600)
        assert theirs.read() == "theirs"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("a secret", 0o600)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "127.0.0.1.evil.example", "10.0.0.1:80", "localhost.evil", "evillocalhost", "0.0.0.0",
        "[fe80::1]", "127.0.0.1,evil", "127.0.0.1:80:80", "a b",
    ],
)  # fmt: skip
def test_a_host_that_is_not_the_loopback_is_foreign(host: str) -> None:
    assert not is_loopback(host)
    assert not is_own(host, None)


def test_no_host_at_all_is_foreign() -> None:
    assert not is_own(None, None)
