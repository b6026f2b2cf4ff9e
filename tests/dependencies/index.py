# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A package index on 127.0.0.1 with wheels of a few bytes, which counts what is asked and may want a password."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from covalent_awsbatch_plugin.dependencies.lock import Target

AMD64 = Target("linux/amd64", "3.11")
ARM64 = Target("linux/arm64", "3.11")


class Index:
    """Its files by name; `wrong_hashes` are told of files whose content is another."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.wrong_hashes: set[str] = set()
        self.asked: list[str] = []
        self.login: str | None = None
        self.stalled = threading.Event()  # set when a file was asked for that is kept back, while `keeps_back`
        self.keeps_back = False
        self.goes_on = threading.Event()
        self.port = 0

    def url(self, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{self.port}/simple"

    @property
    def downloads(self) -> list[str]:
        """The whole files that were fetched; a wheel's metadata may be read by ranges."""
        return sorted({path.rpartition("/")[2] for path in self.asked if path.endswith(".whl")})

    def page(self, project: str) -> str | None:
        """The links of a project; None when there is no file of it."""
        names = [name for name in self.files if name.partition("-")[0].replace("_", "-").lower() == project]
        return "".join(f'<a href="/files/{name}#sha256={self._hash(name)}">{name}</a>' for name in names) or None

    def hold(self) -> None:
        """Where a file is about to be sent."""
        if self.keeps_back:
            self.stalled.set()
            self.goes_on.wait(60)

    def _hash(self, name: str) -> str:
        return "0" * 64 if name in self.wrong_hashes else hashlib.sha256(self.files[name]).hexdigest()

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        needs: Sequence[str] = (),
        files: Mapping[str, str | bytes] | None = None,
        tag: str = "py3-none-any",
        entry_points: str = "",
        fat: int = 0,
    ) -> None:
        """A wheel. Its module says its version; `fat` bytes of data are in it."""
        module = name.replace("-", "_")
        told: dict[str, str | bytes] = {f"{module}/__init__.py": f"version = {version!r}\ntag = {tag!r}\n"}
        told |= dict(files or {}) | (
            {f"{module}/data.bin": hashlib.shake_256(name.encode()).digest(fat)} if fat else {}
        )
        file = f"{module}-{version}-{tag}.whl"
        self.files[file] = wheel(name, version, told, tag, needs, entry_points)


def broken_sdist(name: str, version: str, *, metadata: bool) -> bytes:
    """A source whose build fails like one of an old version in C; `metadata` that is readable without a build."""
    project = f'[project]\nname = "{name}"\nversion = "{version}"\n' if metadata else ""
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    noise = "".join(f"print('gcc: warning {number}', file=sys.stderr); " for number in range(60))
    files = {
        "pyproject.toml": build + project,
        "backend.py": f"import sys\ndef build_wheel(*_, **__):\n {noise}sys.exit('gcc: the error itself')\n",
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def wheel(
    name: str, version: str, files: Mapping[str, str | bytes], tag: str, needs: Sequence[str], entry_points: str = ""
) -> bytes:
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    whole = {
        **files,
        f"{about}/METADATA": "\n".join(metadata) + "\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {'any' in tag}\nTag: {tag}\n".replace("True", "true"),
    }
    if entry_points:
        whole[f"{about}/entry_points.txt"] = entry_points
    whole[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*whole, f"{about}/RECORD"])
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, content in whole.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return data.getvalue()


@contextmanager
def serving() -> Iterator[Index]:
    """An index that answers for as long as the block lasts."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            if index.login and self.headers.get("Authorization") != _basic(index.login):
                self._answer(401, b"who are you?", "text/plain")
            elif self.path.startswith("/files/"):
                index.hold()
                self._answer(200, index.files[self.path.rpartition("/")[2]], "application/octet-stream")
            elif page := index.page(self.path.strip("/").rpartition("/")[2]):
                self._answer(200, page.encode(), "text/html")
            else:
                self._answer(404, b"no such project", "text/plain")

        def do_HEAD(self) -> None:
            self._answer(405, b"", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 200 and self.path.startswith("/files/"):
                self.send_header("Cache-Control", "max-age=3600, immutable")  # as indexes say of their files
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="wheels"')
            with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked may have been ended
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield index
        finally:
            index.goes_on.set()
            server.shutdown()
            thread.join()


def _basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def write_package(folder: Path, name: str, needs: Sequence[str] = (), source: str = "answer = 1\n") -> Path:
    """A local package whose wheel is made by a backend of its own, for there may be no index to fetch one from."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(source)
    needed = ", ".join(f'"{need}"' for need in needs)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0.1"\ndependencies = [{needed}]\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(_BACKEND)
    return folder


_BACKEND = """
import pathlib, tomllib, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    name, about = project["name"], project["name"] + "-0.1.dist-info"
    needs = "".join(f"Requires-Dist: {need}\\n" for need in project["dependencies"])
    files = {path.as_posix(): path.read_bytes() for path in pathlib.Path(name).rglob("*") if path.is_file()}
    files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 0.1\\n{needs}".encode()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[f"{about}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{about}/RECORD"]).encode()
    made = f"{name}-0.1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(directory, made), "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
    return made
"""
