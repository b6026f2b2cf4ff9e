# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""uv's environment variables, and texts without passwords."""

from __future__ import annotations

from covalent_awsbatch_plugin.core.uv_process import uv_environment, without_passwords


def test_pips_settings_are_uvs_where_it_has_none() -> None:
    assert uv_environment({"PIP_INDEX_URL": "https://a"})["UV_DEFAULT_INDEX"] == "https://a"
    assert "UV_DEFAULT_INDEX" not in uv_environment({"PIP_INDEX_URL": "https://a", "UV_INDEX": "https://b"})


def test_passwords_are_taken_out_of_what_is_told() -> None:
    assert without_passwords("at https://me:secret@host/simple, and") == "at https://***@host/simple, and"
