// Elementary functions for models: the same bits on every device, in float and in double. No libm, no branches, so
// that loops over neurons become vector instructions. Error bounds are tested in tests/unit/test_functions.py.
#pragma once
#include "arithmetic.h"

// exp(x), any x: arguments are cut to where the result is a normal number (float: -87 … 88; double: -700 … 700).
FN float bounded_exp(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float k = shifted - 12582912.0f;
    const float r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    const float tail = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) * r +
                        1.6666665459e-1f) * r + 5.0000001201e-1f;
    const float y = (tail * (r * r) + r) + 1.0f;
    return y * float_of((uint32)((int32)k + 127) << 23);
}
FN double bounded_exp(double x) {
    x = x < -700.0 ? -700.0 : x;
    x = x > 700.0 ? 700.0 : x;
    return exponential(x);
}

// exp(x) - 1, cut like bounded_exp: by its series below |x| = 0.35, where the difference would cancel.
FN float bounded_expm1(float x) {
    const float series = x * (1.0f + x * (0.5f + x * (1.66666667e-1f + x * (4.16666667e-2f + x * (8.33333333e-3f +
                         x * (1.38888889e-3f + x * 1.98412698e-4f))))));
    const float whole = bounded_exp(x) - 1.0f;
    return magnitude(x) < 0.35f ? series : whole;
}
FN double bounded_expm1(double x) {
    const double series = x * (1.0 + x * (1.0 / 2 + x * (1.0 / 6 + x * (1.0 / 24 + x * (1.0 / 120 + x * (1.0 / 720 +
                          x * (1.0 / 5040 + x * (1.0 / 40320 + x * (1.0 / 362880 + x * (1.0 / 3628800 +
                          x * (1.0 / 39916800 + x * (1.0 / 479001600 + x * (1.0 / 6227020800.0)))))))))))));
    const double whole = bounded_exp(x) - 1.0;
    return magnitude(x) < 0.35 ? series : whole;
}

// log(x) for normal x > 0.
FN float natural_log(float x) {
    const uint32 shifted = bits_of(x) + 0x004AFB0Du;  // so that 1 + f lies in [sqrt(1/2), sqrt(2))
    const float k = (float)((int32)(shifted >> 23) - 127);
    const float f = float_of((shifted & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
    const float s = f / (2.0f + f);
    const float z = s * s;
    const float w = z * z;
    const float rest = w * (0.40000972152f + w * 0.24279078841f) + z * (0.66666662693f + w * 0.28498786688f);
    const float half_square = 0.5f * f * f;
    return k * 6.9313812256e-01f - ((half_square - (s * (half_square + rest) + k * 9.0580006145e-06f)) - f);
}
FN double natural_log(double x) { return logarithm(x); }

// x^y for x > 0 where x^y is a normal number.
FN float power(float x, float y) { return (float)bounded_exp((double)y * logarithm((double)x)); }
FN double power(double x, double y) { return bounded_exp(y * logarithm(x)); }

FN float root(float x) { return (float)square_root((double)x); }  // correctly rounded: 53 >= 2 * 24 + 2 bits
FN double root(double x) { return square_root(x); }

// Of a that is NaN comes NaN: a bound on a state must not hide it.
FN float larger(float a, float b) { return a < b ? b : a; }
FN double larger(double a, double b) { return a < b ? b : a; }
FN float smaller(float a, float b) { return b < a ? b : a; }
FN double smaller(double a, double b) { return b < a ? b : a; }

// sin(2 pi turns), any number of turns below 2^51: exact reduction to an eighth, then the polynomials of fdlibm.
FN double sine_kernel(double x) {
    const double z = x * x;
    return x + x * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 +
           z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
}
FN double cosine_kernel(double x) {
    const double z = x * x;
    return 1.0 - (0.5 * z - z * z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 +
           z * (2.48015872894767294178e-05 + z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 +
           z * -1.13596475577881948265e-11))))));
}
FN double sine_of_turns(double turns) {
    const double quarter = turns * 4.0;
    const double nearest = (quarter + 6755399441055744.0) - 6755399441055744.0;
    const double angle = (quarter - nearest) * 1.57079632679489661923;  // within an eighth of a turn
    const int64 n = (int64)nearest & 3;
    const double value = (n & 1) ? cosine_kernel(angle) : sine_kernel(angle);
    return (n & 2) ? -value : value;
}
