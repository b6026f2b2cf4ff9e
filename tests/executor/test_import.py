# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""However it is imported, it is the one executor that Covalent knows, and the config file stays its owner's."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

SAME = "assert AWSBatchExecutor is ct.executor.AWSBatchExecutor; print(AWSBatchExecutor.__module__)"
ORDERS = {
    "covalent first": "import covalent as ct; from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor",
    "the class first": "from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor; import covalent as ct",
    "the module first": "import covalent_awsbatch_plugin.awsbatch as door; import covalent as ct;"
    "AWSBatchExecutor = door.AWSBatchExecutor",
    "another part first": "import covalent_awsbatch_plugin.tasks.client; import covalent_awsbatch_plugin.awsbatch;"
    "import covalent as ct; AWSBatchExecutor = covalent_awsbatch_plugin.awsbatch.AWSBatchExecutor",
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_in_any_order_of_imports_it_is_the_class_that_covalent_found(python: Callable[..., str], order: str) -> None:
    by_name = "from covalent.executor import _executor_manager as m; assert type(m.get_executor('awsbatch')) is "

    printed = python(f"{order}; {SAME}; {by_name}AWSBatchExecutor")

    assert printed == "covalent_awsbatch_plugin.awsbatch\n"


def test_importing_covalent_imports_nothing_heavy(python: Callable[..., str]) -> None:
    heavy = "aioboto3", "aiobotocore", "docker", "moto", "obstore"

    assert python(f"import covalent, sys; print([name for name in {heavy} if name in sys.modules])") == "[]\n"


def test_a_fresh_config_file_gets_no_defaults_that_would_outlive_this_version(
    python: Callable[..., str], tmp_path: Path
) -> None:
    python("import covalent")

    config = tomllib.loads((tmp_path / ".config/covalent/covalent.conf").read_text())

    assert config["executors"].get("awsbatch", {}) == {}


def test_a_config_file_that_is_there_keeps_its_values(python: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / ".config/covalent/covalent.conf"
    file.parent.mkdir(parents=True)
    file.write_text('[executors.awsbatch]\nvcpu = 4\nprofile = ""\nnum_gpus = 0\npoll_freq = 10\n')

    python("import covalent")

    section = tomllib.loads(file.read_text())["executors"]["awsbatch"]
    assert section == {"vcpu": 4, "profile": "", "num_gpus": 0, "poll_freq": 10}


def test_strange_keys_in_the_section_are_one_warning_each_however_many_executors(
    python: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / ".config/covalent/covalent.conf"
    file.parent.mkdir(parents=True)
    file.write_text('[executors.awsbatch]\nmemroy = 4\nfrobnicate = true\nlog_stdout = "out.log"\n')

    printed = python(
        "from covalent.executor import _executor_manager as m\n"
        "for _ in range(3): assert m.get_executor('awsbatch').settings().memory == 3.75"
    )

    assert printed.count("`memroy`") == 1
    assert "Did you mean `memory`?" in printed
    assert printed.count("`frobnicate`") == 1
    assert "log_stdout" not in printed


def test_a_second_plugin_of_that_name_is_detected_and_named(python: Callable[..., str], tmp_path: Path) -> None:
    about = tmp_path / "elsewhere" / "covalent_awsbatch_plugin-0.42.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: covalent-awsbatch-plugin\nVersion: 0.42.0\n")
    (about / "entry_points.txt").write_text(
        "[covalent.executor.executor_plugins]\nawsbatch = covalent_awsbatch_plugin.awsbatch\n"
    )

    printed = python("import covalent as ct; ct.executor.AWSBatchExecutor()", tmp_path / "elsewhere")

    assert printed.count("covalent-awsbatch-plugin 0.42.0 in ") == 1
    assert "also claims the executor name `awsbatch`" in printed
