"""How far V_m in single precision can be from V_m in double: derived by tests/reference/test_single_precision.py."""

from __future__ import annotations

from collections.abc import Mapping

# mV, at dt 0.1 ms, under the protocols of tests/reference: the derived bound is at most this in 95 % of all steps. In
# the others V_m is as steep as one likes (a spike's flanks, the step of an upstroke), and a time is what is off.
BOUNDS: Mapping[str, float] = {
    "iaf_psc_exp": 0.0035,
    "iaf_psc_exp_multisynapse": 0.002,
    "iaf_psc_alpha": 0.0015,
    "iaf_psc_alpha_multisynapse": 0.0025,
    "iaf_psc_delta": 0.0015,
    "iaf_tum_2000": 0.002,
    "mat2_psc_exp": 0.002,
    "amat2_psc_exp": 0.0015,
    "iaf_cond_exp": 0.002,
    "iaf_cond_alpha": 0.0025,
    "iaf_cond_beta": 0.0025,
    "iaf_cond_exp_sfa_rr": 0.0015,
    "iaf_chxk_2008": 0.015,
    "aeif_cond_exp": 0.005,
    "aeif_cond_alpha": 0.008,
    "aeif_psc_exp": 0.11,
    "aeif_psc_alpha": 0.01,
    "aeif_psc_delta": 0.04,
    "aeif_cond_alpha_multisynapse": 0.008,
    "aeif_cond_beta_multisynapse": 0.02,
    "izhikevich": 0.11,
    "hh_psc_alpha": 2.7,
    "hh_cond_exp_traub": 0.45,
    "glif_psc": 0.004,
    "glif_cond": 0.0015,
    "glif_psc_double_alpha": 0.001,
    "gif_psc_exp": 0.002,
    "gif_cond_exp": 0.001,
    "pp_psc_delta": 0.0005,
}
