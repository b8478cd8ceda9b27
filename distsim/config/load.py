"""From an experiment file to an Experiment, and to the document that stands for it for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distsim.checks import check_experiment
from distsim.config.files import FileStore
from distsim.config.messages import Source, one_line, validation_message
from distsim.config.overrides import apply_overrides
from distsim.config.yaml_reader import Lines, read_document
from distsim.errors import ConfigError, during
from distsim.experiment import Experiment

if TYPE_CHECKING:
    from distsim.config.schema import ExperimentSpec


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment and where it comes from."""

    experiment: Experiment
    document: dict[str, Any]  # fully resolved: write it, load it, and the experiment is the same
    path: Path
    out: Path | None = None  # where the file itself wants its results
    overwrite: bool = False  # whether it says to replace what is there


@during("config")
def load_experiment(path: Path | str, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """Read, check and resolve the experiment file `path`.

    Parameters
    ----------
    path
        A YAML file; relative paths in it start from its folder.
    overrides
        Changes as in `run.seed=7` or `projections.0.weight={normal: [87.8, 8.8]}`, applied in order.

    Raises
    ------
    ConfigError
        Anything wrong in the file, in an override, or in a file that it refers to; one line.
    """
    path = Path(path)
    if path.suffix == ".json":
        from distsim.config.sonata import output_of, sonata_document

        described = sonata_document(path)
        if described is not None:
            try:
                apply_overrides(described, overrides)
                experiment, resolved = _experiment(described, path)
                return LoadedExperiment(experiment, resolved, path, *output_of(path, described["network"].get("root")))
            except ConfigError as error:
                raise ConfigError(one_line(f"{path}: {error}")) from None
    try:
        document = read_document(path)
        overridden = apply_overrides(document, overrides)
    except ConfigError as error:
        raise ConfigError(one_line(str(error))) from None
    try:
        experiment, resolved = _experiment(document, path)
    except ConfigError as error:
        lines: Lines = {}
        read_document(path, lines)  # once more, now with line numbers: only an error needs them
        cause = error.__cause__
        raise Source(str(path), document, lines, overridden).place(str(error)) from cause
    return LoadedExperiment(experiment, resolved, path)


def _experiment(document: dict[str, Any], path: Path) -> tuple[Experiment, dict[str, Any]]:
    # Imported late: `distsim --help` and programs that describe networks in Python need no pydantic.
    from distsim.config.convert import described_network, record, run_settings
    from distsim.config.resolve import resolved_document

    spec = _checked(document)
    run = run_settings(spec.run)
    files = FileStore(path.parent, spec.files)
    files.verify()
    arguments: dict[str, Any] = {}
    if spec.network is not None and spec.network.builder == "sonata":
        from distsim.config.sonata import sonata_network

        network, arguments = sonata_network(dict(spec.network.model_extra or {}), run.dt, files)
        network.name = spec.name or network.name
    elif spec.network is not None:
        from distsim.config.builders import build_network

        network, arguments = build_network(spec.network.builder, dict(spec.network.model_extra or {}), files)
        network.name = spec.name or network.name
    else:
        network = described_network(spec, spec.name or path.stem, run.dt, files)
    if spec.record is not None:
        record(network, spec.record)
    experiment = Experiment(network, run)
    check_experiment(experiment)
    return experiment, resolved_document(spec, experiment, arguments, files)


def _checked(document: dict[str, Any]) -> ExperimentSpec:
    """The document in its schema, in one of its two forms."""
    from pydantic import ValidationError

    from distsim.config.schema import ExperimentSpec

    try:
        spec = ExperimentSpec.model_validate(document)
    except ValidationError as error:
        raise ConfigError(validation_message(error, document)) from None
    if spec.network is None:
        if not spec.populations:
            raise ConfigError("populations: missing; describe populations, or name a builder: network: {builder: …}")
    else:
        for key in ("space", "populations", "inputs", "projections"):
            if key in document:
                raise ConfigError(f"{key}: not allowed beside network.builder, which describes the whole network")
    return spec
