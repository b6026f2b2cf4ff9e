# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An executor is plain data: what is given where, how it travels, what it never holds."""

from __future__ import annotations

import copy
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import covalent as ct
import pytest
from covalent.executor import _executor_manager

from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.settings import SETTING_NAMES

AWSBatchExecutor = ct.executor.AWSBatchExecutor
Section = Callable[..., None]


def travelled(executor: Any, **changes: Any) -> Any:
    """As Covalent's server makes it from what the client sent; `changes` to the attributes, None takes one away."""
    sent = json.loads(json.dumps(executor.to_dict()))
    attributes = sent["attributes"] | changes
    sent["attributes"] = {name: value for name, value in attributes.items() if name not in changes or value is not None}
    made = _executor_manager.get_executor(sent["short_name"])
    return made.from_dict(sent)


def test_the_constructor_wins_over_the_section_which_wins_over_the_default(section: Section) -> None:
    section(vcpu=4, memory=8)

    settings = AWSBatchExecutor(memory=16).settings()

    assert (settings.vcpu, settings.memory, settings.retry_attempts) == (4, 16, 3)


def test_zero_and_the_empty_text_are_values(section: Section) -> None:
    section(num_gpus=2, profile="work", max_baked_mib=10)

    settings = AWSBatchExecutor(num_gpus=0, profile="", max_baked_mib=0).settings()

    assert (settings.num_gpus, settings.profile, settings.max_baked_mib) == (0, "", 0)


def test_none_is_no_value(section: Section) -> None:
    section(vcpu=4)

    assert AWSBatchExecutor(vcpu=None).settings().vcpu == 4


def test_what_the_section_says_later_counts_for_what_was_made_before(section: Section) -> None:
    by_name = _executor_manager.get_executor("awsbatch")
    section(vcpu=8)

    assert by_name.settings().vcpu == 8


def test_an_unknown_name_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(SettingError) as error:
        AWSBatchExecutor(vcpus=4)

    assert str(error.value) == ("There is no setting `vcpus`, given by AWSBatchExecutor(...).\nDid you mean `vcpu`?")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"time_limit": 5}, "The setting time_limit=5, given by AWSBatchExecutor(...), can't be used: "),
        ({"memory": "lots"}, "The setting memory='lots', given by AWSBatchExecutor(...), can't be used: "),
        ({"vcpu": float("nan")}, "The setting vcpu=nan, given by AWSBatchExecutor(...), can't be used: "),
        ({"builder": "kaniko"}, "The setting builder='kaniko', given by AWSBatchExecutor(...), can't be used: "),
        ({"batch_queue": ""}, "The setting batch_queue='', given by AWSBatchExecutor(...), can't be used: "),
    ],
)
def test_a_wrong_value_is_raised_where_it_is_written(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError) as error:
        AWSBatchExecutor(**wrong)

    assert str(error.value).startswith(sentence)
    assert f"\n{next(iter(wrong))}: " in str(error.value)


def test_a_wrong_value_in_the_section_names_the_file_when_it_is_used(section: Section) -> None:
    section(poll_freq="often")
    executor = _executor_manager.get_executor("awsbatch")

    with pytest.raises(SettingError, match=r"poll_freq='often', given in \[executors.awsbatch\] of .*/covalent.conf,"):
        executor.settings()


def test_it_travels_as_json_with_what_was_given_and_no_more(section: Section) -> None:
    sent = AWSBatchExecutor(memory=1.5, num_gpus=0, cache_dir=Path("/tmp/somewhere"))
    section(vcpu=4, memory=8)

    settings = travelled(sent).settings()

    assert (settings.memory, settings.num_gpus, settings.cache_dir) == (1.5, 0, "/tmp/somewhere")
    assert settings.vcpu == 4


def test_an_older_client_sends_less_and_a_newer_one_more() -> None:
    sent = AWSBatchExecutor(memory=1.5)

    older = travelled(sent, num_gpus=None, builder=None, schema_version=None)
    newer = travelled(sent, schema_version=99, quantum_cores=3)

    assert older.settings() == newer.settings() == sent.settings()


def test_a_wrong_value_of_another_version_is_told_like_any_other() -> None:
    made = travelled(AWSBatchExecutor(memory=1.5), memory=-1)

    with pytest.raises(SettingError, match="memory=-1, given by AWSBatchExecutor"):
        made.settings()


def test_a_client_sends_the_folders_from_which_it_imports_its_own_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = AWSBatchExecutor(memory=1.5)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # after it was made, as many a script does

    sent = executor.to_dict()
    monkeypatch.undo()

    assert sent["attributes"]["code_folders"][0] == str(tmp_path)
    made = _executor_manager.get_executor("awsbatch").from_dict(json.loads(json.dumps(sent)))
    assert made.code_folders == made.to_dict()["attributes"]["code_folders"] == sent["attributes"]["code_folders"]


def test_an_executor_known_by_name_has_no_folders_of_the_server() -> None:
    assert _executor_manager.get_executor("awsbatch").from_dict({}).code_folders is None


def test_it_can_be_copied_and_decorates_electrons() -> None:
    executor = AWSBatchExecutor(vcpu=1, log_stdout="out.log")

    assert copy.deepcopy(executor).to_dict() == executor.to_dict()
    assert executor.log_stdout == "out.log"

    @ct.electron(executor=executor)
    def one() -> int:
        return 1

    @ct.lattice(executor=executor)
    def workflow() -> Any:
        return one()

    assert workflow() == 1


def test_it_holds_no_secret(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[work]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI\n")

    executor = AWSBatchExecutor(credentials=str(credentials), profile="work")
    executor.settings()

    told = json.dumps(executor.to_dict()) + repr(vars(executor)) + str(executor)
    assert "AKIAEXAMPLE" not in told
    assert "wJalrXUtnFEMI" not in told


def test_its_signature_shows_every_setting() -> None:
    parameters = inspect.signature(AWSBatchExecutor).parameters

    assert tuple(parameters) == SETTING_NAMES
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


async def test_cancel_with_a_handle_of_another_version_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    node = {"dispatch_id": "d1", "node_id": 0}
    with caplog.at_level("ERROR"):
        cancelled = await AWSBatchExecutor().cancel(node, {"job_id": "job-1", "version": 99})
    assert cancelled is False
    assert "aws batch terminate-job --job-id job-1 " in caplog.text
