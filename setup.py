# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The package's metadata; the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """The lines of a requirements file that name a requirement."""
    lines = (line.split("#")[0].strip() for line in (HERE / name).read_text().splitlines())
    return [line for line in lines if line]


setup(
    name="covalent-awsbatch-plugin",
    version="1.0.0",
    description="Run Python functions on AWS Batch from a Covalent workflow, with no Docker engine needed",
    packages=find_packages(include=["covalent_awsbatch_plugin*"]),
    package_data={"covalent_awsbatch_plugin": ["py.typed", "assets/infra/*"]},
    python_requires=">=3.11",
    install_requires=requirements("requirements.txt"),
    entry_points={
        "covalent.executor.executor_plugins": ["awsbatch = covalent_awsbatch_plugin.awsbatch"],
        "console_scripts": ["covalent-awsbatch = covalent_awsbatch_plugin.cli:main"],
    },
)
