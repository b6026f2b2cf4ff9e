# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The package's metadata; the tools' settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Return the lines of a requirements file that name a requirement."""
    lines = (line.split("#")[0].strip() for line in (HERE / name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


LOCAL = requirements("requirements-local.txt")  # the offline AWS
TEST = [
    *LOCAL,
    "coverage>=7.10",  # the first that measures subprocesses by itself; our runner is one
    "pytest>=9,<10",
    "pytest-asyncio>=1.0,<2",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "pytest-randomly>=3.16",  # off but where CI asks for another order: pyproject.toml, .ci/run
    "hypothesis>=6.100,<7",
    "build>=1.2",  # tests/test_packaging.py makes a wheel and an sdist
    "setuptools>=77",
    # other people's programs on a pool (tests/pool): joblib's backend, a grid search, an optimizer, a notebook
    "joblib>=1.4",
    "scikit-learn>=1.5",
    "scipy>=1.13",
    "matplotlib>=3.9",
    "nbclient>=0.10",
    "ipykernel>=6.29",
]
DEV = [
    "mypy>=1.15",
    "ruff>=0.9",
    "types-docker>=7.1,<8",
    "types-PyYAML>=6,<7",
]


def version() -> str:
    """`__version__`, read as text: importing the package needs what isn't installed yet."""
    text = (HERE / "covalent_awsbatch_plugin" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    assert found, "covalent_awsbatch_plugin/__init__.py has no __version__"
    return found[1]


def long_description() -> str:
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="covalent-awsbatch-plugin",
    version=version(),
    description="Run Python functions on AWS Batch from a Covalent workflow, with no Docker engine needed",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author="covalent-awsbatch-plugin contributors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["covalent", "aws", "aws batch", "docker", "workflow", "executor"],
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Framework :: AsyncIO",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["covalent_awsbatch_plugin*"]),
    # assets/infra is a relative symlink to the project's own; wheels and sdists get its files
    package_data={"covalent_awsbatch_plugin": ["py.typed", "assets/infra/*"]},
    python_requires=">=3.11",
    install_requires=requirements("requirements.txt"),
    extras_require={"local": LOCAL, "all": LOCAL, "test": TEST, "dev": TEST + DEV},
    entry_points={
        "covalent.executor.executor_plugins": ["awsbatch = covalent_awsbatch_plugin.awsbatch"],
        "console_scripts": ["covalent-awsbatch = covalent_awsbatch_plugin.cli:main"],
    },
)
