"""The reference of inputs, in Markdown, from nothing but the declarations of their devices."""

from __future__ import annotations

import re

from distsim.devices import DEVICES, Device, Setting
from distsim.models.page import markdown_table

INPUTS = """An input drives its targets inside their update, without a connection and without a delay. In a file it
stands under [`inputs`](configuration.md#inputs), in Python it is `net.input(TYPE, targets, …)`. Besides its own
parameters it has

- `start` and `stop` (ms): it is active at grid times t with start < t <= stop;
- `weight`: of each spike, in the receptor's unit, and required; of a current a factor, 1 where it is left out;
- `receptor`, of an input of spikes: a port; by default the sign of the weight chooses.

A current that is given at the grid time t acts from t to t + dt, and a waveform is that of the time t - dt: both are
what NEST gives with a delay of one step. For a longer delay d in NEST, `start` is later by d - dt.
"""


def device_summary(device: Device) -> str:
    """What it gives, in a few words."""
    return re.split("[:;.]", device.doc, maxsplit=1)[0]


def device_page(device: Device, heading: str = "###") -> str:
    """What it gives, and its parameters with units, defaults and bounds."""
    short = f" Short name: `{device.aliases[0]}`." if device.aliases else ""
    rows = [(f"`{s.name}`", s.unit or "–", _default(s), _allowed(s), s.doc) for s in device.settings]
    parameters = markdown_table(("parameter", "unit", "default", "allowed", "what"), rows)
    return f"{heading} Input `{device.name}`\n\n{device.doc}{short}\n\n{parameters}"


def device_pages() -> str:
    """The section of docs/models.md."""
    return "\n".join(("## Inputs\n", INPUTS, *(device_page(device) for device in DEVICES)))


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "required"
    return str(setting.default).lower() if isinstance(setting.default, bool) else f"{setting.default:g}"


def _allowed(setting: Setting) -> str:
    kinds = {
        "flag": "true or false",
        "times": "a list of multiples of dt, ascending, ≥ 0",
        "values": "a list, one for each time",
    }
    found = [kinds[setting.kind]] if setting.kind in kinds else []
    found += [f"> {setting.above:g}"] if setting.above is not None else []
    found += [f"≥ {setting.at_least:g}"] if setting.at_least is not None else []
    found += [f"≤ {setting.at_most:g}"] if setting.at_most is not None else []
    found += ["a multiple of dt"] if setting.steps else []
    found += ["also a value for each target"] if setting.each else []
    return ", ".join(found) or "–"
