# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which files of a user's folder are sent: none that holds a secret, none that is a link out, none that he ignores."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.dependencies.references import References
from covalent_awsbatch_plugin.dependencies.sent_files import LeftOut, sent_files
from covalent_awsbatch_plugin.dependencies.user_code_rules import is_secret, secret_in
from tests.dependencies.index import Index
from tests.dependencies.test_report import env
from tests.dependencies.test_whole_way import script
from tests.tasks.small_world import World

# Split, so that no tool takes this file for one with secrets.
BASE64 = "MIIEpAIBAAKCAQEA" * 4
HOLD_SECRETS = {
    "a private key": [f"-----BEGIN {kind}PRIVATE KEY-----\n{BASE64}\n" for kind in ("", "RSA ", "OPENSSH ", "EC ")]
    + [
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{BASE64}\n",
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{BASE64}\n",
        f'{{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\n{BASE64}\\n"}}',
        "PuTTY-User-Key-File-" + "3: ssh-ed25519\n",
    ],
    "a secret key of AWS": [
        "[default]\naws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz\n",
        'AWS_SECRET_ACCESS_KEY="' + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz" + '"\n',
        '{"SecretAccessKey": "' + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz" + '"}',
    ],
    "a password of a registry": ['{"auths": {"registry.example": {"auth": "' + "dXNlcjpodW50ZXIy" + '"}}}'],
    "a key of a cluster": ["users:\n- user:\n    client-key-data: " + BASE64],
    "a login": ["machine example.com login me " + "password hunter2\n"],
    "a token": [
        "token = 'gh" + "p_" + "a1B2" * 9 + "'",
        "glpat-" + "a1B2c3D4e5" * 2,
        "xoxb-" + "123456789012-" + "a1B2c3D4",
        "key: sk_" + "live_" + "a1B2c3D4" * 3,
        "AIza" + "a1B2c3D" * 5,
        "hf_" + "abCD" * 8 + "ab",
        "pypi-" + "AgEIcHlwaS5vcmc" + "a1B2c3D4e5" * 6,
    ],
}
HOLD_NONE = [
    "HEADER = '-----BEGIN PRIVATE KEY-----'\nif text.startswith(HEADER):\n    raise ValueError\n",
    "aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']\n",
    "session(aws_secret_access_key=secret)\n",
    "password = getpass()\n",
    "def ghp_(): ...\n",
    "-----BEGIN CERTIFICATE-----\n" + BASE64,
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in HOLD_SECRETS.items() for text in texts])
def test_a_secret_is_found_in_a_files_content(kind: str, text: str) -> None:
    assert secret_in(b"# the first line\n" + text.encode()) == kind


@pytest.mark.parametrize("text", HOLD_NONE)
def test_code_about_secrets_holds_none(text: str) -> None:
    assert secret_in(text.encode()) == ""


SECRET_NAMES = """
.env prod.env .env.local staging.env.local .envrc kubeconfig kubeconfig.yaml my-kubeconfig id_rsa_work id_rsa.bak
id_ed25519.pub deploy_rsa github_ed25519 gcp-credentials.json credentials credentials.json credentials.csv
aws_credentials .dockercfg .dockerconfigjson application_default_credentials.json service-account.json
my_service_account_prod.json client_secret_123.json .pgpass .my.cnf .npmrc .pypirc .netrc _netrc pip.conf uv.toml
auth.json .git-credentials terraform.tfstate terraform.tfstate.backup prod.tfvars vault-token.txt .vault-token
kaggle.json .boto .s3cfg rclone.conf server.key server.pem store.jks store.p12 client.pfx login.keychain-db
passwords.kdbx vpn.ovpn key.ppk AuthKey_1.p8 secrets.yaml app-secrets.json secret.txt passwords.txt db_password
api_key.txt apikeys.json access_token.json .token token.json .bash_history .python_history rootkey.csv
my_accessKeys.csv .databrickscfg .condarc .htpasswd
""".split()  # noqa: SIM905 - a list of words
PLAIN_NAMES = """
secrets.py token.py tokens.py credentials.py passwords.py keys.py env.py environment.yml requirements.txt setup.cfg
tokenizer.json tokenizer_config.json special_tokens_map.json tokens.txt monkey.json keyboard.csv id_map.csv data.csv
pyproject.toml config.json settings.yaml compass.txt README.md model.pkl secretary.csv environment.json Dockerfile
""".split()  # noqa: SIM905 - a list of words


def test_names_that_suggest_a_secret_are_known() -> None:
    assert [name for name in SECRET_NAMES if not is_secret(name)] == []
    assert [name for name in PLAIN_NAMES if is_secret(name)] == []


def listed(folder: Path) -> tuple[set[str], dict[str, str]]:
    """The names that are sent, and the reasons of those that stay."""
    left_out: list[LeftOut] = []
    names = {name for _, name in sent_files(folder, left_out)}
    return names, {str(each.path.relative_to(folder.resolve())): each.reason for each in left_out}


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_link_out_of_the_folder_stays_and_one_within_is_a_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", **{"table.csv": "1", ".env": "x"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "other.txt").write_text("other")
    for name, target in {
        "data.txt": "/etc/hostname",
        "beside.txt": "../outside/other.txt",
        "more": "../outside",
        "same.csv": "table.csv",
        "innocent": ".env",
        "nowhere": "gone",
    }.items():
        (folder / name).symlink_to(target)
    names, stays = listed(folder)
    assert names == {"table.csv", "same.csv"}
    assert {name for name, reason in stays.items() if "a link out of" in reason} == {"data.txt", "beside.txt", "more"}
    assert "suggests" in stays["innocent"] and "suggests" in stays[".env"]


def test_gitignore_and_dockerignore_are_honoured(tmp_path: Path) -> None:
    write(tmp_path, **{".git__HEAD": "", ".gitignore": "*.log\n/code/local_settings.py\n"})
    folder = write(
        tmp_path / "code",
        **{
            ".gitignore": "data/\n_version.py\n*.tmp\n!kept.tmp\n",
            ".dockerignore": "# comment\nnotes\n**/*.md\n!_version.py\n",
            "main.py": "", "local_settings.py": "", "a.log": "", "_version.py": "", "b.tmp": "", "kept.tmp": "",
            "data__big.bin": "", "sub__data__more.bin": "", "notes": "", "sub__notes": "", "sub__read.md": "",
            "sub__.gitignore": "!c.tmp\n", "sub__c.tmp": "",
        },
    )  # fmt: skip
    names, stays = listed(folder)
    expected = {"main.py", "_version.py", "kept.tmp", "sub/notes", "sub/c.tmp"}
    assert names - {".gitignore", ".dockerignore", "sub/.gitignore"} == expected
    assert stays["local_settings.py"] == ".gitignore names it" and stays["sub/read.md"] == ".dockerignore names it"


def test_a_folder_that_its_repository_ignores_is_sent_when_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{".git__HEAD": "", ".gitignore": "scratch/\n*.py\n"})
    assert listed(write(tmp_path / "scratch" / "code", **{"main.py": ""}))[0] == {"main.py"}


async def test_no_secret_of_a_folder_reaches_the_task_and_the_log_names_each(
    world: World, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ("prod.env", "kubeconfig", "id_rsa_work", "gcp-credentials.json", ".dockercfg")
    folder = write(tmp_path / "code", **dict.fromkeys(secrets, "hunter2"), **{"mine.py": "", "kept.txt": "kept"})
    write(folder, **{"notes.txt": HOLD_SECRETS["a private key"][0], ".gitignore": "ignored.txt\nold.py\n"})
    write(folder, **{"ignored.txt": "", "old.py": ""})
    (folder / "data.txt").symlink_to("/etc/hostname")
    source = "def task():\n import mine, os\n return sorted(os.listdir(os.path.dirname(mine.__file__)))\n"
    with caplog.at_level(logging.INFO):
        sent = await world.value(world.settings(environment=f"{folder}/"), script(tmp_path, source))
    assert [name for name in sent if name != "__pycache__"] == [".gitignore", "kept.txt", "mine.py"]
    for name in (*secrets, "notes.txt", "data.txt", "old.py"):
        assert f"{folder / name} is not sent with the task: " in caplog.text
    assert "notes.txt is not sent with the task: it holds a private key" in caplog.text
    assert "1 files and folders are not sent, as .gitignore" in caplog.text


def test_explain_lists_what_travels_and_what_stays(index: Index, tmp_path: Path) -> None:
    folder = write(tmp_path / "code", **{"mine.py": "", "sub__table.csv": "1,2", "prod.env": "x"})
    (folder / "data.txt").symlink_to("/etc/hostname")
    lines = env("explain", "--environment", f"{folder}/").output.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("bytes")] == ["mine.py", "sub/table.csv"]
    stays = "\n".join(line for line in lines if "left out" in line)
    assert f"{folder}/prod.env" in stays and f"{folder}/data.txt" in stays


def test_a_module_that_is_a_link_is_sent_by_its_name_but_not_with_a_secret_in_it(tmp_path: Path) -> None:
    from covalent_awsbatch_plugin.dependencies.installed_here import running
    from covalent_awsbatch_plugin.dependencies.user_code import needed

    shared = write(
        tmp_path / "shared", **{"common.py": "", "keyed.py": f"key = '''{HOLD_SECRETS['a private key'][0]}'''"}
    )
    folder = tmp_path / "script"
    folder.mkdir()
    for name in ("common.py", "keyed.py"):
        os.symlink(shared / name, folder / name)
    own = needed(References({"common", "keyed"}, folders=(str(folder),)), running()).own
    assert list(own.files) == ["common.py"] and [each.path.name for each in own.left_out] == ["keyed.py"]
