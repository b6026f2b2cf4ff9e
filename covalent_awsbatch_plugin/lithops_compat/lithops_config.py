# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' configuration: where it is read, which keys become settings, and a sentence for each other key.

Source of the keys: https://lithops-cloud.github.io/docs/source/configuration.html, and the pages of AWS Batch, AWS EC2
and S3 there.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..core.covalent_config import config_file as covalents_file
from ..core.covalent_config import section
from ..core.private_files import create_own
from ..errors import SettingError
from ..settings import SETTING_NAMES, Given, Settings, resolve
from .lithops_keys import OPTIONS, SETTINGS, TOLD, UNKNOWN, Converted

log = logging.getLogger("covalent_awsbatch_plugin.lithops_compat")

BACKENDS = ("aws_batch", "aws_ec2", "aws_lambda")
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_AWS_NAMES = dict(zip(_KEYS, ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), strict=True))
_sentences: set[str] = set()  # sentences that were logged already


@dataclass
class LithopsOptions:
    """A Lithops configuration: settings with their places, options of the executor, and sentences about the rest."""

    place: str
    values: dict[str, Any] = field(default_factory=dict)  # of settings
    options: dict[str, Any] = field(default_factory=dict)  # of the executor, by Lithops' name
    sentences: list[str] = field(default_factory=list)
    own: dict[str, Any] = field(default_factory=dict)  # settings of this package that were given by their own names

    @classmethod
    def read(
        cls,
        config: Mapping[str, Any] | None,
        config_file: str | None,
        arguments: Mapping[str, Any],
        backend_keys: Mapping[str, Any],
    ) -> LithopsOptions:
        """Return the options of a configuration; `arguments` and `backend_keys` are those of `FunctionExecutor(...)`.

        Raises SettingError for a file that is no configuration, for a wrong value, and for another cloud's backend.
        """
        data, place = (config, "config=") if config else _found(config_file)
        if not isinstance(data, Mapping):
            raise SettingError(f"The Lithops configuration of {place} is no mapping of sections.")
        result = cls(place)
        _refuse_others(arguments)
        for name, keys in data.items():
            result._add_section(str(name), keys if isinstance(keys, Mapping) else {})
        result.own = {
            name: value for name, value in backend_keys.items() if name in SETTING_NAMES and value is not None
        }
        rest = {name: value for name, value in backend_keys.items() if name not in result.own and value is not None}
        result.place = "FunctionExecutor(...)"
        result._add_section("aws_batch", rest)
        result.place = place
        return result

    def settings(self, **changes: Any) -> Settings:
        """Return the settings: given by name, then Lithops' keys, then Covalent's config file, then the defaults.

        The packages that a function needs go with it, as with Lithops, unless `environment` is set.
        """
        values = {name: value for name, value in section().items() if name in SETTING_NAMES}
        return resolve(
            Given({**self.own, **changes}, "by FunctionExecutor(...)"),
            Given(self.values, f"in {self.place}"),
            Given(values, f"in [executors.awsbatch] of {covalents_file()}"),
            Given({"environment": "auto"}, "by lithops_compat"),
        )

    def tell(self) -> None:
        """Log each sentence about a key without a meaning here, once in a process."""
        for sentence in self.sentences:
            if sentence not in _sentences:
                _sentences.add(sentence)
                log.warning("%s", sentence)

    def _add_section(self, name: str, keys: Mapping[str, Any]) -> None:
        if name not in SETTINGS:
            self.sentences.append(f"Section `{name}` of {self.place} has no meaning on AWS Batch and is ignored.")
            return
        for key, value in keys.items():
            if value is not None:
                self._add(name, str(key), value)
        if name == "aws" and {"access_key_id", "secret_access_key"} <= keys.keys():
            self.values |= {"credentials": _credentials_file(keys), "profile": "default"}

    def _add(self, name: str, key: str, value: Any) -> None:
        place = f"`{key}` in `{name}` of {self.place}"
        if rule := SETTINGS[name].get(key):
            try:
                self.values |= rule(value)
            except Converted as error:
                self.sentences.append(f"{place}: {error}")
            except (TypeError, ValueError):
                raise SettingError(
                    f"The value {value!r} of {place} is not of the type that Lithops asks for."
                ) from None
        elif key in OPTIONS.get(name, ()):
            self.options[key] = value
        elif not (name == "aws" and key in _KEYS):
            reason = TOLD.get(name, {}).get(key, UNKNOWN)
            self.sentences.append(f"{place} is ignored: {reason}")


def _refuse_others(arguments: Mapping[str, Any]) -> None:
    """Raise SettingError where an argument asks for another cloud, or for this machine."""
    backend, storage, mode = (arguments.get(name) for name in ("backend", "storage", "mode"))
    if backend not in (None, *BACKENDS):
        raise SettingError(
            f"backend={backend!r}: these calls run on AWS Batch alone.",
            advice="For a trial on this machine run `covalent-awsbatch local up --write`; else leave `backend` out.",
        )
    if storage not in (None, "aws_s3"):
        raise SettingError(f"storage={storage!r}: functions and results go through S3 alone.", advice="Leave it out.")
    if mode not in (None, "serverless", "standalone"):
        raise SettingError(f"mode={mode!r}: these calls run on AWS Batch alone.", advice="Leave `mode` out.")


def _found(config_file: str | None) -> tuple[Any, str]:
    """Return the configuration that Lithops would read, and its place; {} without one."""
    if config_file:
        path = Path(config_file).expanduser()
        if not path.exists():
            raise SettingError(f"There is no Lithops configuration {path}, which config_file= names.")
        return _parsed(path)
    if text := os.environ.get("LITHOPS_CONFIG"):
        return json.loads(text), "the variable LITHOPS_CONFIG"
    if named := os.environ.get("LITHOPS_CONFIG_FILE"):
        if not Path(named).exists():
            raise SettingError(f"There is no Lithops configuration {named}, which LITHOPS_CONFIG_FILE names.")
        return _parsed(Path(named))
    places = (Path(".lithops_config"), Path.home() / ".lithops" / "config", Path("/etc/lithops/config"))
    here = [each for each in places if each.exists()]
    return _parsed(here[0].absolute()) if here else ({}, "no configuration")


def _parsed(path: Path) -> tuple[Any, str]:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}, str(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingError(f"The Lithops configuration {path} can't be read.", says=f"{error}") from None


def _credentials_file(keys: Mapping[str, Any]) -> str:
    """Return a credentials file of this user alone with the keys of a configuration; it goes when the program ends."""
    folder = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with create_own(folder / "credentials") as file:
        lines = [f"{_AWS_NAMES[key]} = {keys[key]}" for key in _KEYS if keys.get(key)]
        file.write("\n".join(["[default]", *lines, ""]).encode())
    return str(folder / "credentials")


def setup_lithops_logger(
    log_level: str | int | None = "INFO", log_format: str | None = None, stream: Any = None, filename: str | None = None
) -> None:
    """Log this package's messages of `log_level` and above, to standard error or to a file."""
    if log_level is None:
        return
    logger = logging.getLogger("covalent_awsbatch_plugin")
    logger.setLevel(log_level)
    if not logger.handlers:
        handler = logging.FileHandler(filename) if filename else logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(log_format or "%(asctime)s [%(levelname)s] %(name)s -- %(message)s"))
        logger.addHandler(handler)
