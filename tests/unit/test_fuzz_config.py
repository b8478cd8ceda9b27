"""Whatever an experiment file holds, loading it succeeds or ends with one line, and soon.

Documents are grown from the schema's own grammar: two valid files that use every form, edited at random places
in type, structure, names and numbers, and now and then in their text. DISTSIM_FUZZ=N runs N of them.
"""

from __future__ import annotations

import copy
import math
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml

from distsim.config import load_experiment
from distsim.config.schema import ExperimentSpec
from distsim.errors import ConfigError

DOCUMENTS = int(os.environ.get("DISTSIM_FUZZ", "2000"))
SEED = int(os.environ.get("DISTSIM_FUZZ_SEED", "1"))
HANG = 2.0  # s

DESCRIBED = """\
name: fuzzed
run: {duration: 100.0, warmup: 10.0, dt: 0.1, seed: 1, precision: single, partition: {E: 0, I: 1, P: 0, stim: 2},
      exchange_interval: 0.5, checkpoint: {every: 10.0, every_wall: 15 min, keep: 2}, wall_time: "23:30:00"}
populations:
  E: {model: iaf_psc_exp, size: 8, params: {C_m: 250.0, I_e: {uniform: [0.0, 300.0]}, V_th: {file: v.csv, column: V},
      tau_m: [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0]}, initial: {V_m: {normal: [-58.0, 1.0]}}}
  I: {model: iaf_psc_exp, size: 4, initial: {I_syn_ex: {lognormal: [0.1, 0.2]}}}
  P: {model: parrot_neuron, size: 3}
  stim: {model: spike_generator, size: 2, params: {spike_times: [[10.0, 20.0], [15.0]]}}
inputs:
  background: {type: poisson, targets: [E, I], rate: 16000.0, weight: 87.8, receptor: excitatory}
  relayed: {type: poisson, targets: P, rate: 10.0, weight: 1.0}
projections:
  - {source: E, target: [E, I], rule: {fixed_indegree: 2}, weight: {normal: [87.8, 8.8]},
     delay: {normal_clipped: [1.5, 0.75]}}
  - {source: I, target: E, rule: {pairwise_bernoulli: {p: 0.1, autapses: false}}, weight: -351.2, delay: 0.8}
  - {source: [E, I], target: E, rule: {fixed_total_number: {N: 100}}, weight: {normal_clipped: {mean: 1.0, std: 2.0,
     min: 0.0, max: 9.0}}, delay: {uniform: {low: 0.5, high: 2.0}}}
  - {source: stim, target: E, rule: all_to_all, weight: 100.0, receptor: inhibitory}
  - {source: E, target: E, rule: {one_to_one: {}}, weight: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], delay: 1.0}
  - {source: E, target: E, rule: {explicit: {file: edges.csv}}}
record:
  spikes: [E, I]
  states: {E: {variables: [V_m, I_syn_ex], interval: 1.0, neurons: [0, 1]}, I: {variables: [V_m]}}
"""
BUILT = """\
network: {builder: microcircuit, scale: 0.02, in_degree_scale: 0.01, background: dc, initial: original}
run: {duration: 100.0, partition: block, checkpoint: {every_wall: 900}, wall_time: 90}
record: {spikes: all, states: {L4E: {variables: [V_m], neurons: [0]}}}
"""
BUILDERS = [
    {"builder": "brunel", "regime": "AI", "scale": 0.1, "g": 5.0, "eta": 2.0, "delay": 1.5, "dt": 0.1},
    {"builder": "balanced", "neurons": 100, "in_degree": 50},
    {"builder": "own.py:own", "size": 3},
    {"builder": "own.py:broken"},
]
FILES = {
    "v.csv": "V\n" + "-55.0\n" * 8,
    "edges.csv": "source,target,weight,delay\n0,1,2.0,1.0\n1,2,2.0,1.5\n",
    "bad.csv": "source,target,weight,delay\n0,1,nan,1.0\n",
    "own.py": "import distsim\ndef own(size):\n    n = distsim.Network()\n"
    "    n.population('A', size, 'parrot_neuron')\n    return n\n"
    "def broken():\n    raise RuntimeError('two\\nlines')\n",
}
NUMBERS: list[Any] = [
    0, 1, -1, 2, 3, 7, 0.0, -0.0, 0.1, 0.5, 1.0, -1.0, 1e-300, 5e-324, 1e-9, 1e9, 1e15, 1e30, 1.7e308, -1.7e308,
    2**15, 2**16, 2**31, 2**32, 2**40, 2**40 - 1, 2**53, 2**63, 2**64, 10**30, 10**300, -(2**63), math.inf,
    -math.inf, math.nan,
]  # fmt: skip
TEXTS = ["", " ", "E", "I", "stim", "all", "true", "1", "1e3", "V_m", "microcircuit", "iaf_psc_exp", "all_to_all",
         "edges.csv", "bad.csv", "v.csv", "missing.csv", ".", "/", "..", "own.py:own", "own.py", "a\nb", "a\tb", "\x7f",
         "é", "\U0001f9e0", "x" * 300, "{}", "%s{0}", "E: 1", "poisson", "excitatory", "block", "double",
         "15 min", "2 h", "-1 s", "9999:99:99", "1e3 d"]  # fmt: skip
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [[], []], {"": 1}, [1, "a"], {"uniform": [1, 2]}, [None]]
Path_ = tuple[Any, ...]


def keys_of_the_grammar() -> list[str]:
    """Every key that any mapping of the schema has."""
    schema = ExperimentSpec.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    return sorted({key for part in parts for key in part.get("properties", {})})


KEYS = keys_of_the_grammar()
BASES = [yaml.safe_load(DESCRIBED)] * 2 + [yaml.safe_load(BUILT)]
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths of all nodes below the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def at(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


def scalar(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(rng.choice([NUMBERS, NUMBERS, TEXTS, OTHERS])))


def nearby(value: Any, rng: random.Random) -> Any:
    """A value like `value`: a number moved, a text misspelt, a list of another length."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        moved = [value + 1, value - 1, -value, value * 1000, float(value), value / 3, value + 1e-9, str(value), [value]]
        return rng.choice(moved)
    if isinstance(value, str):
        i = rng.randrange(len(value) + 1)
        return rng.choice([value[:i] + value[i + 1 :], value[:i] + "_" + value[i:], value.upper(), value * 2, [value]])
    if isinstance(value, list):
        return rng.choice([value[:-1], value + value, value[::-1], value[0] if value else 0, [value], value * 50])
    return rng.choice([list(value), list(value.values()), {**value, rng.choice(KEYS): scalar(rng)}, [value]])


def edit(document: dict[str, Any], rng: random.Random) -> None:
    """One change somewhere in the document."""
    paths = list(places(document))
    if not paths:
        document[rng.choice(KEYS)] = scalar(rng)
        return
    path = rng.choice(paths)
    parent, key = at(document, path[:-1]), path[-1]
    kind = rng.randrange(8)
    if kind == 0:
        parent[key] = scalar(rng)
    elif kind in (1, 2):
        parent[key] = nearby(parent[key], rng)
    elif kind == 3:
        del parent[key]
    elif kind == 4:
        other = rng.choice(paths)
        parent[key] = copy.deepcopy(at(document, other))
    elif kind == 5 and isinstance(parent, dict):
        parent[rng.choice([rng.choice(KEYS), str(nearby(str(key), rng))])] = parent.pop(key)
    elif kind == 6 and isinstance(parent, dict):
        parent[rng.choice(KEYS)] = scalar(rng)
    elif isinstance(parent[key], (int, float)):
        parent[key] = rng.choice(NUMBERS)
    else:
        parent[key] = {rng.choice(KEYS): parent[key]}


def text_of(document: dict[str, Any], rng: random.Random) -> bytes:
    """The document as YAML; now and then with a few bytes changed."""
    flow = rng.choice([None, True, False])
    ascii_only = rng.random() < 0.5
    text = yaml.dump(document, Dumper=DUMPER, default_flow_style=flow, sort_keys=False, allow_unicode=not ascii_only)
    data = str(text).encode()
    if rng.random() < 0.15:
        for _ in range(rng.randint(1, 3)):
            i = rng.randrange(len(data) + 1)
            junk = rng.choice([b"", b"\t", b"\n", b"\xff", b"&a ", b"*a", b"<<: ", b"!!python/name:os ", b"---\n", b"[",
                               b"}", b"\x00", b": ", b"- ", b'"', b"#", b"? ", b"| ", b"%TAG ! x\n"])  # fmt: skip
            data = data[:i] + junk + data[i + rng.randrange(3) :]
    return data


def grown(number: int, seed: int = SEED) -> bytes:
    """Document `number` of the fuzz: the same on every machine."""
    rng = random.Random(seed * 1_000_003 + number)
    document = copy.deepcopy(rng.choice(BASES))
    if "network" in document and rng.random() < 0.6:
        document["network"] = dict(rng.choice(BUILDERS))
        document.pop("record")
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        edit(document, rng)
    return text_of(document, rng)


class _HangError(BaseException):
    """Not an Exception: nothing on the way may catch it."""


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


ACCEPTED = ""


def fault_of(path: Path) -> str | None:
    """What is wrong with how `path` was received: ACCEPTED, None where it was refused in one line, or a fault."""
    try:
        with no_longer_than(HANG):
            load_experiment(path)
            return ACCEPTED
    except ConfigError as error:
        message = str(error)
        if not message.startswith(str(path)):
            return f"does not name the file: {message!r}"
        if not message.isprintable() or len(message) > 1500:
            return f"not one short line: {message!r}"
        return None
    except _HangError:
        return f"hangs for more than {HANG} s"
    except BaseException as error:
        return f"raised {type(error).__name__}: {error}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_the_valid_documents_are_valid(folder: Path) -> None:
    for number, text in enumerate((DESCRIBED, BUILT)):
        path = folder / f"valid{number}.yaml"
        path.write_text(text)
        load_experiment(path)


@pytest.mark.timeout(240)
def test_no_document_gives_a_traceback_or_hangs(folder: Path) -> None:
    path = folder / "fuzzed.yaml"
    faults, accepted, started = [], 0, time.monotonic()
    for number in range(DOCUMENTS):
        data = grown(number)
        path.write_bytes(data)
        fault = fault_of(path)
        accepted += fault == ACCEPTED
        if fault:
            faults.append(f"document {number} {fault}")
    print(f"{DOCUMENTS} documents in {time.monotonic() - started:.1f} s, {accepted} accepted")
    assert not faults, f"{len(faults)} of {DOCUMENTS}:\n" + "\n".join(faults[:20])
    assert 0.05 < accepted / DOCUMENTS < 0.8, "the edits are too wild, or too tame"
    assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, "fuzzed.yaml"]), "something was written"
