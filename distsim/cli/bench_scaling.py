"""Weak scaling on one machine: one rank of ever larger networks, built dry, with the same share each time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsim.build.capacity import size
from distsim.errors import ConfigError

if TYPE_CHECKING:
    from distsim.cli.bench import Row, Setting

RANKS = (2, 64, 1024, 16_384)
SHARE = (5_000, 5_000_000)  # neurons and synapses of a rank
# From where nearly every synapse has a row of its own, to sixteen times as many ranks: log ranks grows by 1.4.
LAST_RATIO = 2.0


def scaling_document(ranks: int, neurons: int, synapses: int) -> dict[str, Any]:
    """Two populations as in a cortical circuit: so many neurons and synapses a rank, drawn weights and delays."""
    excitatory, inhibitory = neurons * ranks * 4 // 5, neurons * ranks // 5
    in_degree = synapses // neurons
    return {
        "name": "weak-scaling",
        "run": {"duration": 1000.0, "seed": 1},
        "populations": {
            "E": {"model": "iaf_psc_exp", "size": excitatory},
            "I": {"model": "iaf_psc_exp", "size": inhibitory},
        },
        "projections": [
            {
                "source": "E", "target": ["E", "I"], "rule": {"fixed_total_number": synapses * ranks * 4 // 5},
                "weight": {"normal": [87.8, 8.8]}, "delay": {"normal_clipped": [1.5, 0.75]},
            },
            {
                "source": "I", "target": ["E", "I"], "rule": {"fixed_indegree": max(1, in_degree // 5)},
                "weight": {"normal": [-351.2, 35.1]}, "delay": {"normal_clipped": [0.75, 0.375]},
            },
        ],
        "record": {"spikes": []},
    }  # fmt: skip


def weak_scaling(setting: Setting) -> tuple[list[Row], bool]:
    """Build time and memory of rank 1 of 2 to 16,384; wrong where the last two are not near each other."""
    from distsim.cli.bench import Row

    neurons, synapses = setting.neurons or SHARE[0], setting.synapses or SHARE[1]
    rows, found = [], []
    for ranks in RANKS:
        share = _dry_run(scaling_document(ranks, neurons, synapses), ranks, setting.device)
        found.append(share)
        seconds, memory = share["seconds"], share["memory"]
        kept = size(memory["neurons"] + memory["synapses"] + memory["runs"] + memory["rows"] + memory["routing"])
        rows.append(
            Row(
                f"rank 1 of {ranks:,}: {share['neurons']:,} of {neurons * ranks:,} neurons, "
                f"{share['synapses']:,} synapses in {share['rows']:,} rows",
                f"rows {seconds['rows']:.2f} s, routing {seconds['routing']:.2f} s, {kept}, "
                f"peak {size(share['peak'])}",
                "", "",
            )
        )  # fmt: skip
    (_, _, before, last) = found
    ratio = max(
        last["seconds"]["rows"] / before["seconds"]["rows"], last["memory"]["running"] / before["memory"]["running"]
    )
    rows.append(Row("… 16,384 ranks over 1,024: the larger of the ratios of time (rows) and memory", f"{ratio:.2f}",
                    "", f"{LAST_RATIO:g}"))  # fmt: skip
    return rows, ratio <= LAST_RATIO


def _dry_run(document: dict[str, Any], ranks: int, device: str) -> dict[str, Any]:
    """The figures of rank 1, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="distsim-bench-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps(document))  # JSON is YAML
        command = [
            sys.executable, "-m", "distsim", "estimate", "--dry-run", "--ranks", str(ranks), "--rank", "1", "--json",
            "--device", device, str(config),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"bench: {' '.join(command)} failed: {done.stderr.strip()[-300:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found
