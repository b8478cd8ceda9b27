"""The host compiler and its cache: one clear line when something is missing, and no race when ranks start at once."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distsim import BackendError
from distsim.backend import host, open_backend
from distsim.kernels.values import Values

SOURCE = 'struct Values; extern "C" void nothing(const Values*) {}\nextern "C" int answer() { return 42; }\n'

# What a rank does first: compile (or find) a library and call it. Starts all processes at one moment.
RANK = f"""
import ctypes, sys, time
from distsim.backend import open_backend
backend = open_backend("cpu")
source = {SOURCE!r} + "// " + "x" * 100000 + chr(10)
while time.time() < float(sys.argv[1]):
    pass
module = backend.compile(source, "race")
print(module.function("answer", ctypes.c_int)())
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache, and a search for the compiler that starts anew."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("DISTSIM_CACHE", str(cache))
    for function in (host.find_compiler, getattr(host, "_version", None)):
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    yield cache
    for function in (host.find_compiler, getattr(host, "_version", None)):
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def libraries(cache: Path) -> list[Path]:
    """The libraries in a cache; beside them nothing may lie but empty locks."""
    others = [p for p in cache.iterdir() if p.suffix != ".so"]
    assert all(p.suffix == ".lock" and p.stat().st_size == 0 for p in others), f"left behind: {others}"
    return sorted(cache.glob("*.so"))


def one_line(error: BaseException) -> str:
    """The error's text, which must be one line of a readable length."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 400, text
    return text


def test_a_compiled_library_answers(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a library that is built but not loadable, and leftovers of the build in the cache; and seconds in which
    nothing is said."""
    with caplog.at_level("INFO", "distsim"):
        module = open_backend("cpu").compile(SOURCE, "answer")
        open_backend("cpu").compile(SOURCE, "answer")
    said = [r.getMessage() for r in caplog.records if getattr(r, "notice", False)]
    assert len(said) == 1 and "compiling kernels" in said[0] and str(fresh) in said[0]
    assert module.function("answer", ctypes.c_int)() == 42
    module.launch("nothing", Values(), 1)
    assert len(libraries(fresh)) == 1


def test_the_second_compilation_is_found(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a cache key that changes between calls: then every rank and every run would compile again."""
    backend = open_backend("cpu")
    backend.compile(SOURCE, "answer")
    before = [(p.name, p.stat().st_mtime_ns) for p in libraries(fresh)]
    assert backend.compile(SOURCE, "answer").function("answer", ctypes.c_int)() == 42
    assert [(p.name, p.stat().st_mtime_ns) for p in libraries(fresh)] == before


def test_the_key_holds_source_and_flags(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a stale library after an edit of a kernel or of the flags."""
    backend = open_backend("cpu")
    backend.compile(SOURCE, "answer")
    changed = backend.compile(SOURCE.replace("42", "43"), "answer")
    assert changed.function("answer", ctypes.c_int)() == 43
    monkeypatch.setattr(host, "FLAGS", (*host.FLAGS, "-fno-inline"))
    backend.compile(SOURCE, "answer")
    assert len(libraries(fresh)) == 3


def test_cxx_that_is_not_there_is_one_line(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback of subprocess, or a silent fall back to another compiler than the one named."""
    monkeypatch.setenv("CXX", "no-such-compiler-here")
    with pytest.raises(BackendError) as error:
        open_backend("cpu").compile(SOURCE, "answer")
    text = one_line(error.value)
    assert "CXX" in text and "no-such-compiler-here" in text and "g++" in text


def test_no_compiler_at_all_is_one_line(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches a machine without a compiler ending in a traceback: the line says what to install."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError) as error:
        open_backend("cpu").compile(SOURCE, "answer")
    assert "install" in one_line(error.value)


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_cxx_means_none_named(fresh: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Catches CXX='' (as in `CXX= launch/run`) or blanks taken for the name of a compiler."""
    monkeypatch.setenv("CXX", value)
    assert open_backend("cpu").compile(SOURCE, "answer").function("answer", ctypes.c_int)() == 42


def test_source_that_does_not_compile_is_one_line(fresh: Path) -> None:
    """Catches pages of compiler output where the first error would do, and a broken library left in the cache."""
    with pytest.raises(BackendError) as error:
        open_backend("cpu").compile('extern "C" int answer() { return missing_name; }', "broken")
    assert "missing_name" in one_line(error.value)
    assert not fresh.exists() or not libraries(fresh)


@pytest.mark.parametrize("command", ["false", "true"])
def test_a_compiler_that_fails_silently_is_one_line(fresh: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Catches a compiler that writes nothing (a broken wrapper script): the line names the compiler, not the cache."""
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"no {command} here")
    monkeypatch.setenv("CXX", path)
    with pytest.raises(BackendError) as error:
        open_backend("cpu").compile(SOURCE, "answer")
    assert path in one_line(error.value)


def test_a_compiler_of_many_lines_is_one_line(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches pages of a compiler's complaints that do not hold the word that is searched for."""
    script = tmp_path / "cxx"
    script.write_text("#!/bin/sh\nfor i in 1 2 3; do echo licence server $i unreachable >&2; done\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    with pytest.raises(BackendError) as error:
        open_backend("cpu").compile(SOURCE, "answer")
    assert str(script) in one_line(error.value)


def test_cxx_may_be_a_command_with_arguments(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the rest of $CXX being dropped: `ccache g++` and `g++ -m64` are usual."""
    compiler = next((c for c in ("g++", "c++", "clang++") if shutil.which(c)), None)
    monkeypatch.setenv("CXX", f"env {compiler}")
    assert open_backend("cpu").compile(SOURCE, "answer").function("answer", ctypes.c_int)() == 42


def test_a_truncated_library_is_compiled_again_or_named(tmp_path: Path, repo_root: Path) -> None:
    """Catches a traceback of dlopen where a node died while it wrote the cache, or the disk was full."""
    cache = tmp_path / "cache"
    env = {**os.environ, "DISTSIM_CACHE": str(cache), "PYTHONPATH": str(repo_root)}

    def rank() -> subprocess.CompletedProcess[str]:  # never in this process: it would keep the library mapped
        return subprocess.run([sys.executable, "-c", RANK, "0"], env=env, capture_output=True, text=True, timeout=60)

    assert rank().stdout.strip() == "42"
    (library,) = libraries(cache)
    library.write_bytes(b"")
    again = rank()
    assert again.stdout.strip() == "42" or f"BackendError: {library}" in again.stderr, again.stderr


def test_a_killed_compilation_blocks_nobody(tmp_path: Path, repo_root: Path) -> None:
    """Catches a lock that outlives its process: a run killed while it compiled would stop all later ones."""
    script = tmp_path / "cxx"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\ntouch "$0.started"\nexec sleep 60\n')
    script.chmod(0o755)
    env = {**os.environ, "DISTSIM_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(repo_root)}
    first = subprocess.Popen([sys.executable, "-c", RANK, "0"], env={**env, "CXX": str(script)}, start_new_session=True)
    deadline = time.time() + 30.0
    while not Path(f"{script}.started").exists() and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(first.pid, 9)  # its own group: the process and its compiler
    first.wait()
    second = subprocess.run([sys.executable, "-c", RANK, "0"], env=env, capture_output=True, text=True, timeout=30)
    assert second.stdout.strip() == "42", second.stderr


def test_four_processes_start_at_once_on_an_empty_cache(tmp_path: Path, repo_root: Path) -> None:
    """Catches a rank that loads a half-written library, or trips over another rank making or removing the folder."""
    for attempt in range(3):
        cache = tmp_path / f"deep/er/cache{attempt}"
        env = {**os.environ, "DISTSIM_CACHE": str(cache), "PYTHONPATH": str(repo_root)}
        start = str(time.time() + 1.0)
        ranks = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, start], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        for rank in ranks:
            out, err = rank.communicate(timeout=120)
            assert (rank.returncode, out.strip()) == (0, "42"), err
        assert len(libraries(cache)) == 1


def test_a_cache_that_is_a_file_is_one_line(fresh: Path) -> None:
    """Catches a traceback of mkdir."""
    fresh.write_text("not a folder")
    with pytest.raises(BackendError) as error:
        open_backend("cpu").compile(SOURCE, "answer")
    text = one_line(error.value)
    assert str(fresh) in text and "DISTSIM_CACHE" in text


# Root may write anywhere; a process without capabilities may not.
UNPRIVILEGED = f"""
import ctypes, os
from distsim.backend import open_backend
from distsim import BackendError
backend = open_backend("cpu")
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(backend.compile({SOURCE!r}, "answer").function("answer", ctypes.c_int)())
except BackendError as error:
    print(error)
"""


def in_read_only_cache(folder: str, repo_root: Path) -> str:
    """What a process prints that compiles with this cache, which it cannot write."""
    os.chmod(folder, 0o555)
    env = {**os.environ, "DISTSIM_CACHE": folder, "PYTHONPATH": str(repo_root)}
    done = subprocess.run([sys.executable, "-c", UNPRIVILEGED], env=env, capture_output=True, text=True, timeout=60)
    os.chmod(folder, 0o755)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_read_only_cache_is_one_line(repo_root: Path) -> None:
    """Catches a traceback (or a wait) where the cache cannot be written, as in a container's image."""
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: pytest's folders are closed to other users
        text = in_read_only_cache(folder, repo_root)
        assert text and "\n" not in text and folder in text and "DISTSIM_CACHE" in text


def test_a_read_only_cache_that_holds_the_library_serves(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a needless write: a cache filled beforehand (an image, a shared installation) is enough."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("DISTSIM_CACHE", folder)
        open_backend("cpu").compile(SOURCE, "answer")
        assert in_read_only_cache(folder, repo_root) == "42"
