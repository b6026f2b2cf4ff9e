# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Settings: constructor over config over default, and for whatever else is given one sentence that names it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.settings import SETTING_NAMES, Given, Settings, place_of, resolve, unknown_names

CONFIG = "in [executors.awsbatch] of covalent.conf"
BY_HAND = "by AWSBatchExecutor(...)"

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.sampled_from(["", "0", "3.75", "inf", "~"]),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(SETTING_NAMES), ANYTHING, max_size=6))
def test_whatever_is_given_is_settings_or_one_error_that_names_one(values: dict[str, Any]) -> None:
    place = Given(values, BY_HAND)
    error = refusal(place)
    if error is None:
        settings = resolve(place)
        assert resolve(Given(settings.model_dump(), BY_HAND)) == settings
        return
    told = [name for name, value in values.items() if f"The setting {name}={value!r}, given {BY_HAND}" in str(error)]
    assert len(told) == 1
    assert error.advice == f"{told[0]}: {Settings.model_fields[told[0]].description}"


def refusal(place: Given) -> SettingError | None:
    try:
        resolve(place)
    except SettingError as error:
        return error
    return None


@given(st.dictionaries(st.text(), ANYTHING, min_size=1, max_size=3))
def test_a_name_that_is_no_setting_is_refused_by_name(values: dict[str, Any]) -> None:
    strangers = {name: 1 for name in values if name not in SETTING_NAMES}
    if strangers:
        with pytest.raises(SettingError, match=r"There is no setting `"):
            resolve(Given(strangers, BY_HAND))
    assert set(unknown_names(values)) == set(values) - set(SETTING_NAMES)


def test_a_misspelt_name_is_told_its_neighbour() -> None:
    with pytest.raises(SettingError, match=r"There is no setting `vcpus`, given by AWSBatchExecutor") as caught:
        resolve(Given({"vcpus": 2}, BY_HAND))
    assert caught.value.advice == "Did you mean `vcpu`?"


def test_the_constructor_wins_over_the_config_and_that_over_the_default() -> None:
    settings = resolve(Given({"vcpu": 1, "memory": None}, BY_HAND), Given({"vcpu": 8, "memory": 16}, CONFIG))
    assert (settings.vcpu, settings.memory, settings.time_limit) == (1, 16, Settings().time_limit)


def test_zero_and_empty_are_values() -> None:
    ours = {"num_gpus": 0, "array_linger": 0, "region": "", "container_image_uri": ""}
    settings = resolve(Given(ours, BY_HAND), Given({"num_gpus": 2, "array_linger": 5, "region": "eu-west-1"}, CONFIG))
    assert {name: getattr(settings, name) for name in ours} == ours


def test_the_error_says_where_the_wrong_value_came_from() -> None:
    with pytest.raises(SettingError, match=r"time_limit=5, given in \[executors.awsbatch\] of covalent.conf"):
        resolve(Given({"vcpu": 2}, BY_HAND), Given({"time_limit": 5}, CONFIG))


def test_what_a_higher_place_overrides_may_be_wrong() -> None:
    assert resolve(Given({"time_limit": 60}, BY_HAND), Given({"time_limit": 5}, CONFIG)).time_limit == 60


def test_text_from_a_command_line_is_read_as_numbers() -> None:
    settings = resolve(
        Given({"vcpu": "4", "memory": "3.75", "num_gpus": "0", "time_limit": "600"}, "on the command line")
    )
    assert (settings.vcpu, settings.memory_mib, settings.num_gpus, settings.time_limit) == (4, 3840, 0, 600)


def test_the_documented_example_needs_nothing_but_defaults() -> None:
    """What users of older plugins have in their files today."""
    settings = Settings()
    assert settings.model_dump(include={"vcpu", "memory", "num_gpus", "retry_attempts", "poll_freq"}) == {
        "vcpu": 2, "memory": 3.75, "num_gpus": 0, "retry_attempts": 3, "poll_freq": 10,
    }  # fmt: skip
    assert settings.s3_bucket_name == "covalent-batch-job-resources"
    assert settings.ecr_repo_name == "covalent-batch-job-images"
    assert settings.batch_job_definition_name == "covalent-batch-jobs"
    assert settings.batch_queue == "covalent-batch-queue"
    assert settings.batch_execution_role_name == "ecsTaskExecutionRole"
    assert settings.batch_job_role_name == "CovalentBatchJobRole"
    assert settings.batch_job_log_group_name == "covalent-batch-job-logs"


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_a_size_is_in_batchs_unit() -> None:
    assert Settings(memory=3.75).memory_mib == 3840


def test_the_place_of_the_settings_that_an_error_names_is_told() -> None:
    told = place_of("Correct `batch_queue` or `region`, or look at `memory_limit`.", CONFIG.removeprefix("in "))
    assert told == "`region`, `batch_queue`: in [executors.awsbatch] of covalent.conf."
    assert place_of("Raise memory (now 4 GiB).", "a file") == ""
