"""Writes docs/models.md, the reference of all models and inputs, from their declarations.

To be run as `python docs/make_models.py` wherever a model changes. A test compares the file.
"""

from __future__ import annotations

from pathlib import Path

from distsim.devices_page import device_pages
from distsim.models import MODELS
from distsim.models.page import page, summary

OUT = Path(__file__).with_name("models.md")
TITLE = """<!-- Written by docs/make_models.py from the declarations in distsim/models; change those, not this file. -->

# Models

Names, parameters, defaults and conventions are NEST's. `distsim models NAME` prints the same in the terminal. A
population of your own model names your file: `model: my_models.py:my_model`; see [Models of your own](own_models.md).

- Units are ms, mV, pF, pA, nS and Hz. All parameters are finite and at most 1e30 in magnitude.
- A scalar parameter is a [value](configuration.md#values): a number, a distribution, or one number for each neuron.
  A parameter that is a list, and a switch, is the same for all neurons of a population; element k of a list L may be
  given as `L_k` instead, as a value.
- Currents, and trains that each target has for itself, are no populations: see [Inputs](#inputs).
- Recordables can be recorded, and those with a value at the start can be given another under `initial`.
- A spike's time is the end of the step in which the threshold was crossed. Input that arrives with a delay d is added
  at the end of the step that ends d after the spike.
- Accuracy is measured at dt = 0.1 ms by tests/reference: against closed forms, NEST 3.10, or SciPy at 1e-12.
"""


def models() -> str:
    """The text of docs/models.md."""
    index = "".join(f"- [`{name}`](#{name}): {summary(model)}\n" for name, model in MODELS.items())
    pages = [*(page(model) for model in MODELS.values()), device_pages()]
    return TITLE + "\n" + index + "\n" + "\n".join(pages)


if __name__ == "__main__":
    OUT.write_text(models(), encoding="utf-8")
