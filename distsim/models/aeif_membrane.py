"""The membrane of adaptive exponential integrate-and-fire neurons, whatever their input.

Most steps are taken by Runge-Kutta sub-steps of V and w, with conductances and currents exact. The few neurons in
the upstroke of a spike get a second look, below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from distsim.models.base import Constant, Dynamics, Model, Parameter, Receptor, State
from distsim.models.common import FLOOR, I_e, accuracy, difference, refractory_count, refractory_steps
from distsim.models.courses import Course

SUBSTEPS = (1, 8)
MOST_SPIKES = 8
STIFFEST = Decimal("0.25")  # the largest conductance for Runge-Kutta: how far it may carry V in a step
STEEPEST = Decimal("0.125")  # how far the exponential may carry V in a step of Runge-Kutta, in Delta_T
Numbers = Mapping[str, Decimal]


@dataclass(frozen=True)
class Port:
    """Input that acts on the membrane: as a conductance with a reversal potential, or as a current.

    `arrives` is the receptor's input as the course takes it; a current may be subtracted.
    """

    receptor: str
    course: Course
    arrives: str
    reversal: str = ""
    sign: str = "+"


def _steep(p: Numbers, dt: Decimal) -> Decimal:
    return STEEPEST * p["C_m"] / (p["g_L"] * dt) if p["Delta_T"] else Decimal("1e30")


def _ceiling(p: Numbers, dt: Decimal) -> Decimal:
    """Relative to E_L: beyond this the careful look is certain, and the quick one needs only stay finite."""
    if not p["Delta_T"]:
        return Decimal("1e6")
    return p["V_th"] - p["E_L"] + p["Delta_T"] * (_steep(p, dt).ln() + 3)


def _least(p: Numbers, dt: Decimal) -> Decimal:
    """exp(-(V - V_th) / Delta_T) at V_peak; not below where float32 ends."""
    if not p["Delta_T"]:
        return Decimal(0)
    return max((-(p["V_peak"] - p["V_th"]) / p["Delta_T"]).exp(), Decimal("1e-30"))


CONSTANTS = (
    refractory_count,
    Constant("per_C_m", ("C_m",), lambda p, dt: 1 / p["C_m"]),
    Constant("per_tau_w", ("tau_w",), lambda p, dt: 1 / p["tau_w"]),
    Constant("per_Delta_T", ("Delta_T",), lambda p, dt: 1 / p["Delta_T"] if p["Delta_T"] else Decimal(0)),
    Constant("upstroke", ("g_L", "Delta_T"), lambda p, dt: p["g_L"] * p["Delta_T"]),
    Constant(
        "onset",
        ("V_th", "E_L", "Delta_T"),
        lambda p, dt: (p["V_th"] - p["E_L"]) / p["Delta_T"] if p["Delta_T"] else Decimal(0),
    ),
    # Without the exponential the neuron is a leaky one with threshold V_th.
    Constant(
        "spike_level",
        ("V_peak", "V_th", "E_L", "Delta_T"),
        lambda p, dt: (p["V_peak"] if p["Delta_T"] else p["V_th"]) - p["E_L"],
    ),
    # The quick look goes four times as far in single precision as in double.
    Constant("steep", ("C_m", "g_L", "Delta_T"), _steep, parts=(4, 1)),
    Constant("ceiling", ("C_m", "g_L", "Delta_T", "V_th", "E_L"), _ceiling, parts=(4, 1)),
    Constant("stiff", ("C_m",), lambda p, dt: STIFFEST * p["C_m"] / dt),  # the largest conductance for Runge-Kutta
    Constant("pace", ("C_m", "g_L", "Delta_T"), lambda p, dt: p["g_L"] / p["C_m"] if p["Delta_T"] else Decimal(0)),
    Constant("least", ("V_peak", "V_th", "Delta_T"), _least),
    difference("reset", "V_reset", "E_L"),
)

# V alone under the exponential is known: e^-x falls at the rate g_L / C_m, x = (V - V_th) / Delta_T. So V is written
# as that solution with a constant p that varies, V(t) = p - Delta_T log(1 - pace t e^x(p)), and p and w are what
# Runge-Kutta integrates: p stays smooth up to V_peak and beyond, wherever in the sub-step that is. The sub-steps shrink
# towards the upstroke; the last one ends where V reaches V_peak, found by Newton's method; what is left of the step
# follows from the reset.
CAREFUL = """
        const bool exact = sizeof(real) == 8;
        const real longest = dt * (real)(exact ? 1.0 / 32 : 1.0), shortest = dt * (real)(exact ? 1e-4 : 0.1);
        const real reach = (real)(exact ? 0.05 : 0.5), approach = (real)(exact ? 0.1 : 0.5);
        const real highest = (real)(exact ? 300.0 : 60.0), same = dt * (real)(exact ? 1e-14 : 1e-5);
        const real current = I_e + I_stim;
        real v = V_m, u = w, done = (real)0;
        bool clamped = refractory_steps > 0;
        while (done < dt && spikes <= MOST_SPIKES) {
            real t = done;
            const real rest = dt - done;
            if (clamped) {  // w alone relaxes
                u = a * reset + (u - a * reset) * bounded_exp(-rest * per_tau_w);
                break;
            }
            const real load = g_L LOAD;
            const real speed = magnitude(per_C_m * (current DRIVE - u - load * v));
            real s = smaller(longest, (real)0.25 / (per_C_m * load));
            if (Delta_T > (real)0) {
                s = smaller(s, reach * Delta_T / (speed + reach * Delta_T / longest));
                s = smaller(s, approach / (pace * bounded_exp(smaller(v * per_Delta_T - onset, highest))));
            }
            s = larger(s, shortest);
            const bool last = s >= rest - shortest;
            s = last ? rest : s;
            const real whole = s;
            bool crossed = false;
            real end_v = v, end_u = u;
            // Where conductances hold V tighter than any sub-step resolves, it relaxes to where they hold it.
            const bool held = per_C_m * load * dt > (real)20;
            if (held) {
                t = done + (real)0.5 * s;
                const real now = g_L LOAD;
                const real target = (current DRIVE - u) / now;
                end_v = target + (v - target) * bounded_exp(-s * per_C_m * now);
                end_u = u + s * (a * target - u) * per_tau_w;
                crossed = Delta_T > (real)0 && end_v >= spike_level;
            }
            for (int32 attempt = 0; attempt < (held ? 0 : 12); ++attempt) {
                real sum_p = (real)0, sum_u = (real)0, slope_p = (real)0, slope_u = (real)0;
                real loads[3], drives[3];
                for (int32 half = 0; half < 3; ++half) {
                    t = done + s * (real)0.5 * (real)half;
                    loads[half] = g_L LOAD;
                    drives[half] = current DRIVE;
                }
                for (int32 stage = 0; stage < 4; ++stage) {
                    const int32 half = (stage + 1) / 2;
                    const real ahead = s * (real)(stage == 0 ? 0.0 : stage == 3 ? 1.0 : 0.5);
                    const real weight = (real)(stage == 0 || stage == 3 ? 1.0 / 6 : 1.0 / 3);
                    const real p = v + ahead * slope_p, q = u + ahead * slope_u;
                    const real grown = bounded_exp(smaller(p * per_Delta_T - onset, highest));
                    const real left = larger((real)1 - pace * ahead * grown, least * grown);
                    const real V = p - Delta_T * natural_log(left);
                    slope_p = left * per_C_m * (drives[half] - q - loads[half] * V);
                    slope_u = (a * V - q) * per_tau_w;
                    sum_p = sum_p + weight * slope_p;
                    sum_u = sum_u + weight * slope_u;
                }
                const real p = v + s * sum_p;
                end_u = u + s * sum_u;
                const real grown = bounded_exp(smaller(p * per_Delta_T - onset, highest));
                const real room = (real)1 - (pace * s + least) * grown;
                if (!crossed && (room > (real)0 || Delta_T == (real)0)) {
                    end_v = p - Delta_T * natural_log(larger((real)1 - pace * s * grown, (real)1e-30));
                    break;
                }
                crossed = true;
                const real closing = grown * (pace + (pace * s + least) * slope_p * per_Delta_T);
                const real next = larger(smaller(s + room / larger(closing, pace * grown * (real)0.1), whole), (real)0);
                const bool found = magnitude(next - s) <= same;
                s = next;
                if (found) break;
            }
            done = last && !crossed ? dt : done + s;
            v = crossed ? reset : end_v;
            u = crossed ? end_u + b : end_u;
            spikes += crossed ? 1 : 0;
            clamped = crossed && refractory_count > 0;
        }
        V_m = clamped ? reset : v;
        w = u;
        HALVES
        const bool free = !clamped && refractory_steps == 0;
        ARRIVALS
        if (free && V_m >= spike_level) {
            V_m = reset;
            w = w + b;
            spikes += 1;
            clamped = true;
        }
        refractory_steps = refractory_steps > 0 ? refractory_steps - 1 : spikes > 0 && clamped ? refractory_count : 0;
"""


def adex(
    name: str, doc: str, ports: tuple[Port, ...], parameters: tuple[Parameter, ...], *, states: tuple[State, ...] = (),
    receptors: tuple[Receptor, ...] = (), arrivals: str = "", error: tuple[float, float] = (5e-6, 0.08),
) -> Model:  # fmt: skip
    """The declaration of a neuron with these ports, or with `receptors` whose input `arrivals` adds to V_m."""
    conductances = [p for p in ports if p.reversal]
    currents = [p for p in ports if not p.reversal]

    def drive(value: str) -> str:
        """What pushes whatever V is, with `value` of each course."""
        terms = [f" + {getattr(p.course, value)} * above_{p.reversal}" for p in conductances]
        return "".join(terms + [f" {p.sign} {getattr(p.course, value)}" for p in currents])

    def load(value: str) -> str:
        return "".join(f" + {getattr(p.course, value)}" for p in conductances)

    half = "\n".join(p.course.half for p in ports)
    arrivals = arrivals or "\n".join(p.course.arrive(p.arrives) for p in ports)
    halves = "".join(
        f"\n{condition}\n" + "\n".join([half] * (2 * n))
        for condition, n in zip(("#if !DISTSIM_DOUBLE", "#else"), SUBSTEPS, strict=True)
    )
    halves = f"{halves}\n#endif\n" if ports else ""
    careful = CAREFUL.replace("DRIVE", drive("at")).replace("LOAD", load("at"))
    return Model(
        name=name,
        doc=doc,
        parameters=(
            Parameter("V_peak", 0.0, "mV", "spike detection threshold"),
            Parameter("V_reset", -60.0, "mV", "potential after a spike"),
            Parameter("t_ref", 0.0, "ms", "refractory time", at_least=0.0),
            Parameter("g_L", 30.0, "nS", "leak conductance", above=0.0),
            Parameter("C_m", 281.0, "pF", "membrane capacitance", above=0.0),
            Parameter("E_L", -70.6, "mV", "leak reversal potential"),
            Parameter("Delta_T", 2.0, "mV", "slope factor; 0: a leaky neuron with threshold V_th", at_least=0.0),
            Parameter("tau_w", 144.0, "ms", "adaptation time constant", above=0.0),
            Parameter("a", 4.0, "nS", "subthreshold adaptation"),
            Parameter("b", 80.5, "pA", "spike-triggered adaptation"),
            Parameter("V_th", -50.4, "mV", "spike initiation threshold"),
            I_e,
            *parameters,
        ),
        ordered=(("V_reset", "V_peak", "the reset lies below the peak"),),
        not_above=(("V_th", "V_peak", "the peak lies above the threshold"),),
        states=(
            State("V_m", "mV", "membrane potential", "E_L", relative_to="E_L", floor=FLOOR, recordable=True),
            State("w", "pA", "adaptation current", floor=FLOOR, recordable=True),
            *(s for p in ports for s in p.course.states),
            *states,
            refractory_steps,
        ),
        receptors=receptors or tuple(Receptor(p.receptor, "nS" if p.reversal else "pA") for p in ports),
        constants=(
            *CONSTANTS,
            *(difference(f"above_{p.reversal}", p.reversal, "E_L") for p in conductances),
            *(c for p in ports for c in p.course.constants),
        ),
        dynamics=Dynamics(
            variables=("V_m", "w"),
            derivatives=f"""
            const real grown = bounded_exp(smaller(V_m, ceiling) * per_Delta_T - onset);
            steepest = larger(steepest, grown);
            d_V_m = mobility * (upstroke * grown + (I_e + I_stim{drive("name")}) - w - (g_L{load("name")}) * V_m);
            d_w = (a * V_m - w) * per_tau_w;
            """,
            substeps=SUBSTEPS,
            exact=half,
        ),
        max_multiplicity=MOST_SPIKES,
        accuracy=accuracy(*error),
        update=f"""
        real steepest = (real)0;
        const real mobility = refractory_steps > 0 ? (real)0 : per_C_m;
        const bool free = refractory_steps == 0;
        needs_care = g_L{load("name")} > stiff ? 1 : 0;
        const real begun = V_m;
        INTEGRATE;
        const real leap = (V_m - begun) * per_Delta_T;
        {arrivals}
        refractory_steps = refractory_steps > 0 ? refractory_steps - 1 : 0;
        needs_care = steepest * ((real)1 + (real)16 * leap * leap) > steep ? 1 : needs_care;
        needs_care = V_m >= spike_level ? 1 : needs_care;
        """,
        careful=careful.replace("HALVES", halves)
        .replace("ARRIVALS", arrivals)
        .replace("MOST_SPIKES", str(MOST_SPIKES)),
    )


def described(first: str, input_terms: str, course: str) -> str:
    return f"""Adaptive exponential integrate-and-fire neuron, {first}.

    C_m dV/dt = -g_L (V - E_L) + g_L Delta_T exp((V - V_th) / Delta_T) {input_terms} - w + I_e
    tau_w dw/dt = a (V - E_L) - w{course}
    At V >= V_peak, wherever in the step: V = V_reset, w = w + b, and V stays for t_ref (the rest of the step and
    t_ref / dt steps more). With Delta_T = 0 there is no exponential, and V_th takes the place of V_peak at the end of
    each step (Brette & Gerstner 2005, doi:10.1152/jn.00686.2005)."""
