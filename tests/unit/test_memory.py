"""No kernel reads or writes beyond its arrays: construction and loop under the compiler's AddressSanitizer.

The sanitizer has to be there before Python is, hence a process of its own. Arrays of NumPy come from malloc, so it
knows where each of them ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distsim.backend import host

SCRIPT = """
import sys
import support
from distsim.backend import host
host.FLAGS = tuple("-O0" if flag == "-O3" else flag for flag in host.FLAGS) + ("-fsanitize=address",)
from distsim.distributions import Uniform
from distsim import Experiment, Network, PairwiseBernoulli, RunSettings
from distsim.space import Circular, box
from wiring import placed, wired

def apart(partition):
    "Neurons whose masks reach none of the others' cells, on either side."
    network = Network("apart")
    a = network.population("A", 90, "iaf_psc_exp", I_e=Uniform(400.0, 700.0), positions=box([4.0, 4.0]))
    b = network.population("B", 60, "iaf_psc_exp", I_e=500.0, positions=box([0.5, 0.5], [0.4, -1.0]))
    rule = PairwiseBernoulli(0.5, mask=Circular(0.6, anchor=(0.9, 0.2)))
    for generate in ("by_target", "by_source"):
        network.project(a, b, rule, 9.0, 1.0, generate=generate)
    return Experiment(network, RunSettings(duration=20.0, seed=3, partition=partition))

made = {"wired": lambda p: wired("single", p, 20.0), "placed": lambda p: placed("single", p), "apart": apart}
digests = {support.run(made[sys.argv[1]](p), ranks, t).digest for p, ranks, t in
           (("round_robin", 1, None), ("block", 3, support.TINY))}
assert len(digests) == 1, digests
print("ended", *digests)
"""


def _sanitizer() -> str:
    """The sanitizer's library, as the compiler names it; a skip where the compiler has none."""
    compiler = host.find_compiler()
    found = subprocess.run([*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip(f"{compiler[0]} has no libasan.so")
    return found


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LD_PRELOAD": _sanitizer(), "ASAN_OPTIONS": "detect_leaks=0:color=never"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("network", ["wired", "placed", "apart"])
def test_kernels_stay_in_their_arrays(network: str) -> None:
    """Catches what shows only by chance elsewhere: a read past the end that mostly hits memory of one's own."""
    done = _run(SCRIPT, network)
    assert done.returncode == 0 and done.stdout.startswith("ended"), done.stderr[:3000]


def test_a_read_past_the_end_is_seen() -> None:
    """Power: one element beyond an array of NumPy ends the process."""
    done = _run(
        "import ctypes, numpy as np\n"
        "from distsim.backend import host, open_backend\n"
        "host.FLAGS += ('-fsanitize=address',)\n"
        "source = 'extern \"C\" void past(const int* x) { ((volatile int*)x)[0] = ((volatile const int*)x)[100]; }'\n"
        "library = open_backend('cpu').compile(source, 'past')\n"
        "x = np.arange(100, dtype=np.int32)\n"
        "library._library.past(ctypes.c_void_p(x.ctypes.data))\n"
    )
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr
