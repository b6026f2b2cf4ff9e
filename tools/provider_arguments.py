# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Writes tests/infra/provider_arguments.json: the arguments that versions of Terraform's AWS provider know.

    terraform -chdir=assets/infra providers schema -json > schema.json      # after `terraform init`
    pip download --no-deps cdktf-cdktf-provider-aws                         # PyPI's bindings of a 6.x provider
    python tools/provider_arguments.py 5.100.0 schema.json cdktf_cdktf_provider_aws-21.22.1-py3-none-any.whl

The bindings name in their documentation the version and the argument that each parameter stands for. Only the types
that assets/infra uses are kept; nested arguments have the path of their blocks, such as `compute_resources.type`.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from tests.infra.hcl import Body, bodies  # noqa: E402 - after the path

TABLE = PROJECT / "tests" / "infra" / "provider_arguments.json"
DOCUMENTED = re.compile(
    r":param (?P<parameter>\w+): .*providers/hashicorp/aws/(?P<version>[\d.]+)/docs[^#\s]*#(?P<name>\w+) "
)


def of_schema(schema: Mapping[str, Any], body: Body) -> Iterator[str]:
    """Yield the paths of all arguments of a type in `terraform providers schema -json`."""
    provider = schema["provider_schemas"]["registry.terraform.io/hashicorp/aws"]
    if body.kind == "provider":
        yield from _of_block(provider["provider"]["block"])
    else:
        kinds = {"resource": "resource_schemas", "data": "data_source_schemas"}
        yield from _of_block(provider[kinds[body.kind]][body.type]["block"])


def _of_block(block: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, attribute in block.get("attributes", {}).items():
        if not attribute.get("optional") and not attribute.get("required"):
            continue
        yield path + name
        yield from _of_block(attribute.get("nested_type", {}), f"{path}{name}.")
        match attribute.get("type"):
            case [_, ["object", {**fields}]]:  # a list of objects, which may be written as blocks
                yield from (f"{path}{name}.{field}" for field in fields)
    for name, inner in block.get("block_types", {}).items():
        yield path + name
        yield from _of_block(inner["block"], f"{path}{name}.")


def of_bindings(wheel: zipfile.ZipFile, body: Body) -> tuple[str, list[str]]:
    """Return the provider's version, and the paths of all arguments of a type in the bindings for Python."""
    name = {"provider": "provider", "data": f"data_{body.type}"}.get(body.kind, body.type.removeprefix("aws_"))
    text = wheel.read(f"cdktf_cdktf_provider_aws/{name}/__init__.py").decode()
    classes = dict(re.findall(r"^class (\w+)[:(](.*?)(?=^class |^@jsii|\Z)", text, re.MULTILINE | re.DOTALL))
    (base,) = re.findall(r"^class (\w+)\(\s*_\w+\.Terraform(?:Resource|DataSource|Provider),", text, re.MULTILINE)
    versions: set[str] = set()

    def arguments(class_name: str, path: str) -> Iterator[str]:
        signature, _, docs = (
            classes[class_name].partition("def __init__")[2].partition("if __debug__")[0].partition("->")
        )
        annotations = dict(re.findall(r"^ +(\w+): (.*)$", signature, re.MULTILINE))
        for found in DOCUMENTED.finditer(docs):
            versions.add(found["version"])
            yield path + found["name"]
            for inner in set(re.findall(r"\w+", annotations.get(found["parameter"], ""))) & classes.keys():
                yield from arguments(inner, f"{path}{found['name']}.")

    paths = sorted(set(arguments(f"{base}Config", "")))
    (version,) = versions
    return version, paths


def _sorted(paths: Iterable[str]) -> list[str]:
    """Return paths in order, without the provider's endpoints of two hundred services."""
    return sorted({path for path in paths if not path.startswith("endpoints.")})


def main(version: str, schema_file: str, wheel_file: str) -> None:
    used = {body.address: body for body in bodies(PROJECT / "assets" / "infra") if body.type.startswith("aws")}
    schema = json.loads(Path(schema_file).read_text(encoding="utf-8"))
    with zipfile.ZipFile(wheel_file) as wheel:
        bound = {address: of_bindings(wheel, body) for address, body in used.items()}
    (bound_version,) = {of for of, _ in bound.values()}
    table = {
        version: {
            "source": "terraform providers schema -json",
            "arguments": {address: _sorted(of_schema(schema, body)) for address, body in used.items()},
        },
        bound_version: {
            "source": f"https://pypi.org/project/cdktf-cdktf-provider-aws/{Path(wheel_file).name.split('-')[1]}/",
            "arguments": {address: _sorted(paths) for address, (_, paths) in bound.items()},
        },
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
