// A number that knows how far float32 can be from it: the running error analysis of Wilkinson (Higham 2002, Accuracy
// and Stability of Numerical Algorithms, 3.3), with the derivatives by the states at the start of the step. A model's
// own code runs in it: value x in double, e = the most that roundings of this step have moved it, d = gradient.
// The bounds of functions are those that tests/unit/test_functions.py measures, in units of u = 2^-24.

static const double UNIT = 1.0 / 16777216.0;
static double carried[STATES];  // how far each state may be off when the step begins
static int in_doubt;            // comparisons that roundings could turn round
static bool fires;              // whether a draw in this step is to mean a spike

struct Tracked {
    double x, e, d[STATES];
    Tracked() {}
    Tracked(double value) : x(value), e(__builtin_fabs(value - (double)(float)value)) {
        if (!(e < 1e300)) e = 0.0;
        for (int k = 0; k < STATES; ++k) d[k] = 0.0;
    }
    explicit operator int32() const { return (int32)x; }
    explicit operator double() const { return x; }
    double spread() const {
        double sum = e;
        for (int k = 0; k < STATES; ++k) sum += __builtin_fabs(d[k]) * carried[k];
        return sum;
    }
};
typedef Tracked real;
typedef const Tracked& In;

// f(a, b) with the slopes by both; `more`: error of its own in units of u of the result.
static Tracked joined(double x, In a, double by_a, In b, double by_b, double more) {
    Tracked r;
    r.x = x;
    r.e = 1.001 * (__builtin_fabs(by_a) * a.e + __builtin_fabs(by_b) * b.e) + more * UNIT * __builtin_fabs(x);
    for (int k = 0; k < STATES; ++k) r.d[k] = by_a * a.d[k] + by_b * b.d[k];
    return r;
}
static Tracked operator+(In a, In b) { return joined(a.x + b.x, a, 1.0, b, 1.0, a.x != 0.0 && b.x != 0.0); }
static Tracked operator-(In a, In b) { return joined(a.x - b.x, a, 1.0, b, -1.0, a.x != 0.0 && b.x != 0.0); }
static Tracked operator*(In a, In b) {
    Tracked r = joined(a.x * b.x, a, b.x, b, a.x, 1.0);
    r.e += a.e * b.e;
    return r;
}
static Tracked operator/(In a, In b) { return joined(a.x / b.x, a, 1.0 / b.x, b, -a.x / (b.x * b.x), 1.0); }
static Tracked operator-(In a) { return joined(-a.x, a, -1.0, a, 0.0, 0.0); }

static bool told(In a, In b, bool answer) {
    Tracked apart = joined(a.x - b.x, a, 1.0, b, -1.0, 0.0);
    const double spread = apart.spread();
    in_doubt += spread > 0.0 && __builtin_fabs(apart.x) <= spread;
    return answer;
}
static bool operator<(In a, In b) { return told(a, b, a.x < b.x); }
static bool operator>(In a, In b) { return told(a, b, a.x > b.x); }
static bool operator<=(In a, In b) { return told(a, b, a.x <= b.x); }
static bool operator>=(In a, In b) { return told(a, b, a.x >= b.x); }
static bool operator==(In a, In b) { return told(a, b, a.x == b.x); }

// Continuous: whichever is taken in float32, the result is off by no more than the one or the other.
static Tracked larger(In a, In b) { return a.x < b.x ? b : a; }
static Tracked smaller(In a, In b) { return b.x < a.x ? b : a; }
static Tracked magnitude(In a) { return a.x < 0.0 ? -a : a; }
static Tracked bounded_exp(In a) {
    const double y = bounded_exp(a.x);
    return joined(y, a, a.x < -87.0 || a.x > 88.0 ? 0.0 : y, a, 0.0, 2.6);
}
static Tracked bounded_expm1(In a) { return joined(bounded_expm1(a.x), a, bounded_exp(a.x), a, 0.0, 8.0); }
static Tracked natural_log(In a) { return joined(natural_log(a.x), a, 1.0 / a.x, a, 0.0, 8.0); }
static Tracked without_traces(In a, In floor) {
    Tracked r = a;
    if (__builtin_fabs(a.x) < floor.x) r = Tracked(0.0);
    r.e += floor.x;
    return r;
}
// A draw of a model with escape noise: spikes come in the steps in which they came.
static Block drawn_words() { return fires ? Block{0u, 0u, 0u, 0u} : Block{~0u, ~0u, ~0u, ~0u}; }
#define random_words(n) drawn_words()
