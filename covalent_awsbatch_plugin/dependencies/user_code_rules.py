# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The rules for files of a user's folder: code and data are included, files with secrets are not.

Names are those of the tools that write them; the forms of tokens are their issuers', collected by
https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

# Generated or third-party folders, useless in a container; excluded without a warning.
_LEFT_OUT_FOLDERS = {
    "__pycache__", ".venv", "venv", "node_modules", "build", "dist", ".tox", ".nox", ".idea", ".vscode", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".eggs", "htmlcov",
}  # fmt: skip
_LEFT_OUT_FILES = re.compile(r".*\.(pyc|pyo|whl|egg)|\.coverage.*|\.DS_Store|\.git")  # `.git` is a file in a worktree

# Names that suggest a secret; excluded with a warning.
_SECRET_FOLDERS = {
    ".aws", ".azure", ".docker", ".gcloud", ".gnupg", ".kaggle", ".kube", ".password-store", ".secrets", ".ssh",
    ".terraform.d", ".vault", ".git", ".hg", ".svn",
}  # fmt: skip
# Words are no reason to leave out a module: `secrets.py` and `token.py` are code.
_DATA = r"(\.(json5?|ya?ml|toml|ini|cfg|conf|config|csv|txt|xml|properties|env|enc|pickle|pkl|bak|old|\d+))*"
_SECRET_FILES = re.compile(
    "|".join(
        (
            r"\.env|\.env[._-].*|.*\.env(\.(local|bak|old|dev|prod\w*|stag\w*|test))?|\.?envrc",
            # keys and certificates' keys: OpenSSH, PuTTY, OpenSSL, Java, Apple, KeePass, GnuPG, OpenVPN, WireGuard, age
            r"\.?(id|ssh|deploy|host|identity)[._-](rsa|dsa|ecdsa|ed25519)([._-].*)?|.*[._-](rsa|dsa|ecdsa|ed25519)",
            r"(ssh|deploy|host|identity)[._-]?key([._-].*)?",
            r"authorized_keys.*|known_hosts.*|.*\.(pem|key|p8|p12|pk8|pfx|pkcs12|jks|jceks|bks|keystore|keytab|ppk)",
            r".*\.(kdbx?|gpg|pgp|asc|ovpn|agekey|age|keychain(-db)?|agilekeychain|mobileprovision|snk)|secring\..*",
            # clouds and clusters
            r".*kube-?config.*|.*credentials?" + _DATA + r"|.*[._-]creds?" + _DATA + r"|creds" + _DATA,
            r".*service[-_]?account.*\.json|client_secrets?.*\.json|accessTokens\.json|azureProfile\.json|rootkey\.csv",
            r".*access-?keys?\.csv|\.boto|\.s3cfg|\.passwd-s3fs|\.?rclone\.conf|\.databrickscfg|\.snowsql|\.terraformrc",
            r".*\.tfvars(\.json)?|.*\.tfstate(\..*)?|\.vault[-_]token|\.dockercfg|\.dockerconfigjson|\.oci|kaggle\.json",
            # package managers, version control, data bases, web servers, mail, shells
            r"\.?netrc|_netrc|\.pypirc|\.npmrc|\.yarnrc(\.yml)?|\.condarc|pip\.(conf|ini)|uv\.toml|auth\.(json|toml)",
            r"\.git-credentials|\.?git-?credentials.*|\.pgpass|pgpass\.conf|\.?my\.cnf|\.mylogin\.cnf|\.htpasswd|htpasswd",
            r"\.msmtprc|\.fetchmailrc|\.wgetrc|\.curlrc|\.(bash|zsh|sh|python|psql|mysql|node_repl|sqlite)_?history|shadow",
            # words
            r".*secrets?" + _DATA + r"|.*\.secrets?|.*pass(word|wd|phrase)s?" + _DATA + r"|.*api[-_]?keys?" + _DATA,
            r".*(access|auth|api|bearer|refresh|oauth|session|vault)[-_]?tokens?" + _DATA,
            r"\.?token(\.(json|txt|pickle))?|.*\.token|oauth.*\.json|master\.key|vault[-_]?pass.*",
        )
    ),
    re.IGNORECASE,
)
SECRET_NAME = "its name suggests that it holds a secret"  # noqa: S105 - a sentence


def is_secret(path: str) -> bool:
    """Return whether a file's path in the folder suggests that it holds a secret."""
    pure = PurePosixPath(path)
    if pure.suffix in (".py", ".so", ".pyi"):
        return any(map(is_secret_folder, pure.parts[:-1]))
    return any(map(is_secret_folder, pure.parts[:-1])) or bool(_SECRET_FILES.fullmatch(pure.name))


def is_secret_folder(name: str) -> bool:
    """Return whether a folder of that name holds secrets, if only in its history."""
    return name in _SECRET_FOLDERS


def is_left_out(path: str) -> bool:
    """Return whether a file, by its path in the folder, is useless in a container."""
    pure = PurePosixPath(path)
    return any(map(is_left_out_folder, pure.parts[:-1])) or bool(_LEFT_OUT_FILES.fullmatch(pure.name))


def is_left_out_folder(name: str) -> bool:
    """Return whether a folder of that name is excluded as a whole."""
    return name in _LEFT_OUT_FOLDERS or name.endswith((".egg-info", ".dist-info"))


# ---- content ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Form:
    """The form of a secret: `words`, one of which is in it, and the pattern that it matches as a whole."""

    kind: str
    words: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _form(kind: str, words: bytes, pattern: bytes) -> _Form:
    return _Form(kind, tuple(words.split()), re.compile(pattern))


# A header of a key without a key after it is code that reads or checks keys.
_FORMS = (
    _form(
        "a private key",
        b"PRIVATE",
        rb"-----BEGIN[ A-Z0-9]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[rn]|[A-Za-z-]+:[^\n]*\n)*[A-Za-z0-9+/=]{30}",
    ),
    _form(
        "a private key", b"PuTTY-User-Key-File AGE-SECRET-KEY", rb"PuTTY-User-Key-File-\d:|AGE-SECRET-KEY-1[0-9A-Z]{58}"
    ),
    _form(
        "a secret key of AWS",
        b"ecret_access_key ECRET_ACCESS_KEY ecretAccessKey",
        rb"(?i)secret_?access_?key['\"]?\s{0,9}[:=,]\s{0,9}['\"]?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    ),
    _form("a password of a registry", b'"auth"', rb'"auth"\s*:\s*"[A-Za-z0-9+/]{8,}={0,2}"'),
    _form("a key of a cluster", b"client-key-data", rb"client-key-data:\s*[A-Za-z0-9+/=]{40}"),
    _form("a login", b"password", rb"(?m)^\s*machine\s+\S+\s+login\s+\S+\s+password\s+\S+"),
    _form("a key of an Azure account", b"AccountKey=", rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    _form(
        "a token",
        b"ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- hooks.slack.com",
        rb"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{70}|glpat-[A-Za-z0-9_-]{20}|xox[abeprs]-[A-Za-z0-9-]{20}"
        rb"|hooks\.slack\.com/services/T\w{5,}/B\w{5,}/\w{16}",
    ),
    _form(
        "a token",
        b"k_live_ AIza GOCSPX- pypi-AgEI npm_ hf_ T3BlbkFJ sk-ant- SG. dapi _v1_ hvs.",
        rb"\b(?:[rs]k_live_[A-Za-z0-9]{20}|AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}|pypi-AgEI[A-Za-z0-9_-]{50}"
        rb"|npm_[A-Za-z0-9]{36}\b|hf_[A-Za-z]{34}\b|sk-[A-Za-z0-9_-]{20,100}T3BlbkFJ[A-Za-z0-9_-]{20}"
        rb"|sk-ant-[a-z0-9]{3,9}-[A-Za-z0-9_-]{80}|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}|dapi[0-9a-f]{32}"
        rb"|do[opr]_v1_[0-9a-f]{64}|hvs\.[A-Za-z0-9_-]{90})",
    ),
)


def secret_in(data: bytes) -> str:
    """Return the kind of the first secret in a file's content, such as `a private key`; empty if there is none."""
    for form in _FORMS:
        if any(word in data for word in form.words) and form.pattern.search(data):
            return form.kind
    return ""
