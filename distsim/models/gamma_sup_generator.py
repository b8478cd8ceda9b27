"""Superposition of renewal processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distsim.distributions import support
from distsim.errors import wrong
from distsim.models.base import Constant, Model, Parameter, State
from distsim.models.forms import Family, Form, Whole
from distsim.models.generators import generator


def _make(form: Form) -> Model:
    shape = form.whole("gamma_shape")

    def fits(params: Mapping[str, Any], dt: float, where: str) -> None:
        most = 1000.0 / (dt * shape)
        high = support(params["rate"])[1]
        if high > most:
            raise wrong(f"{where}.rate", high, f"at most {most:g} Hz: one stage of the process a step of {dt} ms")
        if not isinstance(params["n_proc"], float) or params["n_proc"] != int(params["n_proc"]):
            raise wrong(f"{where}.n_proc", params["n_proc"], "a whole number of processes from 1 on")
        if params["n_proc"] > 1e6:
            raise wrong(f"{where}.n_proc", params["n_proc"], "at most 1e6 processes")

    stages = range(1, shape + 1)
    draws = "\n".join(
        f"        const int32 moved_{k} = active ? (int32)binomial_draw({k}, (uint64)waiting_{k}, p) : 0;"
        for k in stages
    )
    moves = "\n".join(
        f"        waiting_{k} = waiting_{k} - moved_{k} + moved_{k - 1 if k > 1 else shape};" for k in stages
    )
    return generator(
        name="gamma_sup_generator",
        doc=DOC,
        parameters=(
            Parameter("rate", 0.0, "Hz", "mean rate of each process", at_least=0.0),
            Parameter("n_proc", 1.0, "1", "number of processes", at_least=1.0),
        ),
        states=tuple(
            State(f"waiting_{k}", "1", f"processes in stage {k}", "rest" if k == shape else "each", kind="int32")
            for k in stages
        ),
        constants=(
            Constant("each", ("n_proc",), lambda p, dt: p["n_proc"] // shape, integer=True),
            Constant("rest", ("n_proc",), lambda p, dt: p["n_proc"] - (shape - 1) * (p["n_proc"] // shape),
                     integer=True),
        ),
        fits=fits,
        update=f"""
        const double p = (double)rate * {shape}.0 * 1e-3 * g.dt;
{draws}
{moves}
        spikes = moved_{shape};
    """,
    )  # fmt: skip


DOC = """Superposition of n_proc gamma processes of whole shape (Deger et al. 2012, doi:10.1007/s10827-011-0362-8).

    Each process goes through gamma_shape stages; in every step it leaves its stage with probability
    rate * gamma_shape * dt, and leaving the last is a spike. At first the processes are shared out evenly over the
    stages, the rest in the last, as in NEST. All targets get the same train."""

gamma_sup_generator = Family(
    name="gamma_sup_generator",
    doc=DOC,
    lists=(),
    flags=(),
    make=_make,
    wholes=(Whole("gamma_shape", 1, "stages of each process"),),
)
