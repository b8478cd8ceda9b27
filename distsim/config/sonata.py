"""SONATA's networks and simulations as experiments of distsim.

`distsim run simulation_config.json` stands for the experiment `network: {builder: sonata, config: …}`, with the run
settings of the file; `reads` lists all that was read, so that a run goes on only with the same circuit, and `sections`
knows the configuration section by section, so that it may go on to a later end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distsim.config.files import FileStore, told_of
from distsim.config.messages import shown
from distsim.config.sonata_config import Sections, is_sonata, mapping, number, read_configuration, read_json
from distsim.config.sonata_edges import read_edges
from distsim.config.sonata_inputs import currents, reports, spike_inputs
from distsim.config.sonata_nodes import read_nodes
from distsim.config.sonata_own import own_inputs, own_section
from distsim.errors import ConfigError, nearest, wrong
from distsim.network import Network

READ = ("networks", "network", "circuit", "components", "node_sets", "node_sets_file", "run", "inputs", "reports",
        "output", "conditions", "distsim")  # fmt: skip
OWN = ("duration", "warmup", "dt", "seed", "precision", "partition", "exchange_interval")  # of distsim.run


def sonata_document(path: Path) -> dict[str, Any] | None:
    """The experiment that a SONATA configuration stands for; None where `path` is none.

    Raises
    ------
    ConfigError
        It is malformed.
    """
    if path.suffix != ".json" or not path.is_file():
        return None
    document = read_json(path.read_bytes(), str(path))
    if not is_sonata(document):
        return None
    return {
        "name": _name(path),
        "run": _run(document, path),
        "network": {"builder": "sonata", "config": str(path.absolute())},
    }


def output_of(path: Path, root: object = None) -> tuple[Path | None, bool]:
    """Where a SONATA configuration wants its results, and whether it says to overwrite what is there."""
    config = read_configuration(str(path.absolute()), FileStore(path.parent, {}), root)
    output = config.section("output")
    if "output_dir" not in output:
        return None, False
    return Path(config.path("output.output_dir", output["output_dir"])), output.get("overwrite_output_dir") is True


def _name(path: Path) -> str:
    plain = ("config", "simulation_config", "circuit_config", "simulation")
    return path.absolute().parent.name or path.stem if path.stem in plain else path.stem


def _run(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Keys of `run`: from tstop and dt, then what the section distsim.run says."""
    given = mapping(document.get("run", {}), f"{path}: run")
    if "tstop" not in given and "duration" not in given:
        raise ConfigError(f"{path}: run.tstop: missing; the end of the simulation in ms")
    start = number(given, "tstart", f"{path}: run", 0.0)
    if start != 0.0:
        raise wrong(f"{path}: run.tstart", start, "0; time begins at 0 ms")
    run: dict[str, Any] = {"duration": number(given, "tstop" if "tstop" in given else "duration", f"{path}: run")}
    run["dt"] = number(given, "dt", f"{path}: run", 0.1)
    own = mapping(mapping(document.get("distsim", {}), f"{path}: distsim").get("run", {}), f"{path}: distsim.run")
    for key, value in own.items():
        if key not in OWN:
            raise ConfigError(f"{path}: distsim.run.{key}: unknown key {key!r}; {nearest(key, OWN)}")
        run[key] = value
    return run


def sonata_network(arguments: Mapping[str, Any], dt: float, files: FileStore) -> tuple[Network, dict[str, Any]]:
    """The network of a SONATA configuration, and all arguments of the builder.

    Parameters
    ----------
    arguments
        `config`: a simulation or circuit configuration; `root`: a directory above its own that holds all its files;
        `reads`, `sections`: what was read and what the configuration said when the experiment was written.

    Raises
    ------
    ConfigError
        Anything wrong in the configuration or in a file that it names.
    """
    for key in arguments:
        if key not in ("config", "root", "reads", "sections"):
            raise ConfigError(f"network.{key}: unknown argument of sonata; {nearest(key, ['config', 'root'])}")
    given = arguments.get("config")
    if not isinstance(given, str):
        raise ConfigError(f"network.config: found {shown(given)}; the path of a SONATA configuration in JSON")
    path = files.absolute(given)
    inside = FileStore(files.base, files.expected)
    with told_of("network.config"):
        config = read_configuration(path, inside, arguments.get("root"))
        network = _network(config, _name(Path(path)), dt)
    files.hashes.update(inside.hashes)
    reads = sorted(inside.hashes)
    asked = arguments.get("reads")
    if asked is not None and asked != reads:
        missing = sorted(set(reads) ^ set(asked if isinstance(asked, list) else []))[:1]
        raise ConfigError(f"network.reads: the circuit reads other files now: {', '.join(missing) or shown(asked)}")
    said = read_json(inside.read(path, "network.config"), path)
    root = {"root": str(config.root)} if "root" in arguments else {}
    return network, {"config": path, **root, "reads": reads, "sections": _sections(said)}


def _sections(document: Mapping[str, Any]) -> dict[str, str]:
    """Each section's hash, but of `run` and `distsim.run`: of these is made the `run` of the experiment."""
    own = {key: value for key, value in document.get("distsim", {}).items() if key != "run"}
    said = {key: value for key, value in document.items() if key not in ("run", "distsim")}
    # In the order in which they stand: the order of inputs numbers them.
    return {
        key: "sha256:" + hashlib.sha256(json.dumps(value).encode()).hexdigest()
        for key, value in ({**said, "distsim": own} if own else said).items()
    }


def _network(config: Sections, name: str, dt: float) -> Network:
    network = Network(name)
    for key in config.sections:
        if key not in READ:
            network.warnings.append(f"{key}: not read; {nearest(key, READ)}")
    conditions = config.section("conditions")
    v_init = number(conditions, "v_init", "conditions") if "v_init" in conditions else None
    for key in conditions:
        if key != "v_init":
            network.warnings.append(f"conditions.{key}: not read; point neurons have no such condition")
    own = own_section(config)
    trains = spike_inputs(config, dt)
    nodes = read_nodes(network, config, trains, v_init)
    for population in trains:
        if population not in nodes or not any(part.virtual for part in nodes[population].parts):
            near = nearest(population, [n.name for n in nodes.values() if any(p.virtual for p in n.parts)])
            raise ConfigError(f"inputs: unknown population {population!r} of virtual nodes; {near}")
    read_edges(network, config, nodes, dt)
    currents(network, config, nodes, dt)
    own_inputs(network, config, own)
    run = config.section("run")
    reports(network, config, nodes, dt, float(run.get("tstop", run.get("duration", 0.0)) or 0.0))
    spikes_file = config.section("output").get("spikes_file", "spikes.h5")
    if Path(str(spikes_file)).name != "spikes.h5":
        network.warnings.append(f"output.spikes_file: found {shown(spikes_file)}; spikes are written to spikes.h5")
    return network
