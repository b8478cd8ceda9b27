"""Parameter files of the Allen Institute's GLIF neurons (Teeter et al. 2018, doi:10.1038/s41467-017-02717-4), as the
Cell Types Database gives them: in SI units, relative to El_reference, with coefficients of the fit.

The conversion is BMTK's (bmtk/simulator/pointnet/glif_utils.py), operation by operation, so that numbers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from distsim.config.messages import shown
from distsim.errors import ConfigError, nearest, wrong

T = TypeVar("T")
SWITCHES = ("spike_dependent_threshold", "after_spike_currents", "adapting_threshold")
TAU_SYN = [5.5, 8.5, 2.8, 5.8]  # ms: BMTK's four ports
# How a file says what its model is: threshold_dynamics_method.name, AScurrent_dynamics_method.name → the switches
_THRESHOLDS = {"inf": (False, False), "spike_component": (True, False), "three_components_exact": (True, True)}
_CURRENTS = {"none": False, "exp": True}


def is_allen_glif(params: Mapping[str, Any]) -> bool:
    """Are these the Allen Institute's names, and not NEST's?"""
    return params.get("type") == "GLIF" or {"coeffs", "El_reference", "th_inf"} <= set(params)


def nest_parameters(
    allen: Mapping[str, Any], switches: Mapping[str, bool] | None, where: str
) -> dict[str, float | bool | list[float]]:
    """Parameters of glif_psc in NEST's names and units (mV, nS, pF, pA, ms).

    Parameters
    ----------
    switches
        The variant that the template names; None: that of the file.

    Raises
    ------
    ConfigError
        A number is missing or none, lists differ in length, or the methods are those of no variant.
    """
    file = _File(allen, where)
    on = _variant(file) if switches is None else {name: switches.get(name, False) for name in SWITCHES}
    number = file.number
    reference = number("El_reference") * 1.0e03
    rest = number("El") * 1.0e03 + reference
    params: dict[str, float | bool | list[float]] = {
        "V_m": rest,
        "V_th": number("coeffs.th_inf") * number("th_inf") * 1.0e03 + reference,
        "g": number("coeffs.G") / file.above_zero("R_input") * 1.0e09,
        "E_L": rest,
        "C_m": number("coeffs.C") * number("C") * 1.0e12,
        "t_ref": number("spike_cut_length") * number("dt") * 1.0e03,
        "V_reset": reference,
        "tau_syn": file.numbers("tau_syn") if "tau_syn" in allen else TAU_SYN,
        **on,
    }
    if on["spike_dependent_threshold"]:
        params["th_spike_add"] = number("threshold_dynamics_method.params.a_spike") * 1.0e03
        params["th_spike_decay"] = number("threshold_dynamics_method.params.b_spike") * 1.0e-03
        params["voltage_reset_fraction"] = number("voltage_reset_method.params.a")
        params["voltage_reset_add"] = number("voltage_reset_method.params.b") * 1.0e03
    if on["adapting_threshold"]:
        for ours, theirs, fitted in (("th_voltage_index", "a_voltage", "a"), ("th_voltage_decay", "b_voltage", "b")):
            value = number(f"threshold_dynamics_method.params.{theirs}")
            params[ours] = value * number(f"coeffs.{fitted}") * 1.0e-03
    if on["after_spike_currents"]:
        amplitudes, fits = file.numbers("asc_amp_array"), file.numbers("coeffs.asc_amp_array")
        starts, taus = file.numbers("init_AScurrents"), file.numbers("asc_tau_array")
        kept = file.numbers("AScurrent_reset_method.params.r") if file.has("AScurrent_reset_method.params.r") else None
        kept = [1.0] * len(taus) if kept is None else kept
        lengths = [len(x) for x in (amplitudes, fits, starts, taus, kept)]
        if len(set(lengths)) != 1:
            said = "asc_amp_array, coeffs.asc_amp_array, init_AScurrents, asc_tau_array, r of AScurrent_reset_method"
            raise ConfigError(f"{where}: {said}: found {lengths} numbers; allowed: lists of one length")
        if not all(tau > 0.0 for tau in taus):
            raise wrong(f"{where}: asc_tau_array", taus, "times above 0 s")
        params["asc_init"] = [x * 1.0e12 for x in starts]
        params["asc_decay"] = [1.0 / tau * 1.0e-03 for tau in taus]
        params["asc_amps"] = [x * fit * 1.0e12 for x, fit in zip(amplitudes, fits, strict=True)]
        params["asc_r"] = kept
    return params


def _variant(file: _File) -> dict[str, bool]:
    """The switches of the model that the file was fitted as."""
    threshold = file.choice("threshold_dynamics_method.name", _THRESHOLDS)
    return dict(zip(SWITCHES, (threshold[0], file.choice("AScurrent_dynamics_method.name", _CURRENTS), threshold[1]),
                    strict=True))  # fmt: skip


class _File:
    """The document, asked by paths such as coeffs.th_inf."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self._document, self._where = document, where

    def has(self, path: str) -> bool:
        value: Any = self._document
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                return False
            value = value[key]
        return True

    def _at(self, path: str) -> Any:
        value: Any = self._document
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                near = nearest(key, value) if isinstance(value, dict) else f"found {shown(value)}"
                raise ConfigError(f"{self._where}: {path}: missing in a GLIF file of the Allen Institute; {near}")
            value = value[key]
        return value

    def number(self, path: str) -> float:
        value = self._at(path)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(f"{self._where}: {path}: found {shown(value)}; allowed: a number")
        return float(value)

    def above_zero(self, path: str) -> float:
        value = self.number(path)
        if not value > 0.0:
            raise wrong(f"{self._where}: {path}", value, "a number above 0")
        return value

    def numbers(self, path: str) -> list[float]:
        value = self._at(path)
        if not isinstance(value, list) or not value or not all(type(x) in (int, float) for x in value):
            raise ConfigError(f"{self._where}: {path}: found {shown(value)}; allowed: a list of numbers")
        return [float(x) for x in value]

    def choice(self, path: str, choices: Mapping[str, T]) -> T:
        value = self._at(path)
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{self._where}: {path}: found {shown(value)}; allowed: {', '.join(choices)}")
        return choices[value]
