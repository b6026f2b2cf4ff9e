# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Python, Terraform's variables, the config template, the options and the docs tell of the same settings."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from covalent_awsbatch_plugin.awsbatch import ExecutorInfraDefaults, ExecutorPluginDefaults
from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.iam import ROLES, policy
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.infra.stack_settings import InfraSettings, infra_settings
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.settings import SETTING_NAMES, Settings

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "assets" / "infra"


def test_what_is_made_from_the_settings_is_up_to_date() -> None:
    stale = [path.name for path, text in runpy.run_path(str(ROOT / "tools" / "infra.py"))["made"]().items()
             if path.read_text() != text]  # fmt: skip
    assert stale == [], "run `python tools/infra.py`"


def test_every_setting_is_a_variable_of_terraform_and_stands_in_the_config_section() -> None:
    text = (INFRA / "variables.tf").read_text()
    variables = re.findall(r'^variable "(\w+)"', text, re.MULTILINE)
    assert variables == [*InfraSettings.model_fields, *SETTING_NAMES]
    given = text.rpartition("given = {")[2].partition("}")[0]
    assert re.findall(r"^\s+(\w+) += var\.\1$", given, re.MULTILINE) == list(SETTING_NAMES)


def test_the_providers_range_holds_only_versions_that_know_every_argument() -> None:
    """`compute_environment_name_prefix` is `name_prefix` from 6.0 on, under which `infra up` fails."""
    (told,) = re.findall(r'^ +version = "(.+)"$', (INFRA / "main.tf").read_text(), re.MULTILINE)
    assert "compute_environment_name_prefix" in (INFRA / "compute.tf").read_text()
    tried = ("5.74.0", "5.75.0", "5.100.0", "6.0.0", "6.25.0")
    assert list(SpecifierSet(told).filter(tried)) == ["5.75.0", "5.100.0"]
    documented = (INFRA / "README.md").read_text(), (ROOT / "docs" / "infrastructure.md").read_text()
    assert all("5.75" in text for text in documented)


def test_covalents_classes_have_the_same_fields_and_leave_open_what_nobody_chose() -> None:
    assert tuple(ExecutorPluginDefaults.model_fields) == SETTING_NAMES
    assert set(ExecutorPluginDefaults().model_dump().values()) == {None}
    assert ExecutorInfraDefaults is InfraSettings


def test_covalents_strings_become_what_they_mean() -> None:
    assert ExecutorPluginDefaults(vcpu="0.5", num_gpus="0", delete_images="false").model_dump(exclude_none=True) == {
        "vcpu": 0.5, "num_gpus": 0, "delete_images": False,
    }  # fmt: skip
    assert InfraSettings(gpu="true", max_vcpus="8").max_vcpus == 8  # type: ignore[arg-type]


def test_every_setting_is_an_option_of_up() -> None:
    up = main.commands["infra"].commands["up"]  # type: ignore[attr-defined]
    assert set(InfraSettings.model_fields) <= {option.name for option in up.params}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"compute": "EC2,FARGATE"}, "compute='EC2,FARGATE'"),
        ({"compute": "EC2,EC2"}, "each type may appear once"),
        ({"log_retention_days": 31}, "CloudWatch Logs allows 1, 3, 5"),
        ({"stuck_after": 60}, "0 or at least 600"),
        ({"prefix": "Team A"}, "prefix='Team A'"),
        ({"tags": "no equals sign"}, "tags"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=re.escape(words)):
        infra_settings(wrong)


def test_the_lifecycle_rule_is_for_what_tasks_write() -> None:
    assert f'prefix = "{layout.S3_ROOT}/"' in (INFRA / "storage.tf").read_text()


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_fits_what_iam_takes(role: str) -> None:
    names = configured_names(Settings(), "123456789012", "ap-southeast-2")
    text = str(policy(role, names)).replace(" ", "")
    assert len(text) < 6144  # characters of a managed policy without blanks


def test_no_registry_module_is_used() -> None:
    assert not [path.name for path in INFRA.glob("*.tf") if re.search(r"^module ", path.read_text(), re.MULTILINE)]
