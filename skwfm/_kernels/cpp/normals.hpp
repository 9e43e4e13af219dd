// Normal numbers by position: each is the quantile of a well-mixed number, so that it does
// not matter who draws it, nor what was drawn before.
// Included inside the namespace of one instruction set.

template <int N>
SKWFM_INLINE double polynomial(const double (&a)[N], double x) {
    double value = a[N - 1];
    for (int i = N - 2; i >= 0; i--) value = value * x + a[i];
    return value;
}

// The quantile of the normal distribution where |p - 1/2| <= 0.425, by q = p - 1/2
// (Wichura, "Algorithm AS 241", 1988; relative error 1e-16).
SKWFM_INLINE double central_quantile(double q) {
    constexpr double above[] = {
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
        1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
        3.3430575583588128105e4, 2.5090809287301226727e3};
    constexpr double below[] = {
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
        5.2264952788528545610e3};
    const double r = 0.180625 - q * q;
    return q * polynomial(above, r) / polynomial(below, r);
}

// The same below 0.075, for p > 0.
inline double low_quantile(double p) {
    constexpr double above[] = {
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
        3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
        2.27238449892691845833e-2, 7.74545014278341407640e-4};
    constexpr double below[] = {
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0,
        6.89767334985100004550e-1, 1.48103976427480074590e-1, 1.51986665636164571966e-2,
        5.47593808499534494600e-4, 1.05075007164441684324e-9};
    constexpr double far_above[] = {
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
        2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
        2.71155556874348757815e-5, 2.01033439929228813265e-7};
    constexpr double far_below[] = {
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
        1.48753612908506148525e-2, 7.86869131145613259100e-4, 1.84631831751005468180e-5,
        1.42151175831644588870e-7, 2.04426310338993978564e-15};
    const double r = std::sqrt(-std::log(p));
    return r <= 5 ? -polynomial(above, r - 1.6) / polynomial(below, r - 1.6)
                  : -polynomial(far_above, r - 5) / polynomial(far_below, r - 5);
}

inline double normal_quantile(double p) {
    const double q = p - 0.5;
    if (q >= -0.425 && q <= 0.425) return central_quantile(q);
    return q < 0 ? low_quantile(p) : -low_quantile(1 - p);
}

// A number between 0 and 1, never one of them, by its place.
SKWFM_INLINE double uniform(uint64_t place) {
    return (double(mix(place) >> 12) + 0.5) * (1.0 / 4503599627370496.0);
}

// Fills n numbers; the places of the draws follow each other.
inline void normals(double* out, int n, uint64_t place) {
#pragma omp simd
    for (int d = 0; d < n; d++) out[d] = uniform(place + uint64_t(d)) - 0.5;
    for (int d = 0; d < n; d++) {
        const double q = out[d];
        if (q >= -0.425 && q <= 0.425) out[d] = central_quantile(q);
        else out[d] = q < 0 ? low_quantile(q + 0.5) : -low_quantile(0.5 - q);
    }
}

// The lower tail of the normal distribution.
inline double normal_tail(double x) {
    return 0.5 * std::erfc(-x * 0.70710678118654752440);
}

// A normal number between two bounds; the quantile of a number between their tails.
// Where they lie above the mean, the mirrored ones do: tails near 0 are exact.
inline double truncated_normal(double low, double high, double u) {
    const bool mirror = low > 0;
    if (mirror) {
        const double other = -low;
        low = -high;
        high = other;
        u = 1 - u;
    }
    const double below = normal_tail(low), above = normal_tail(high);
    const double p = below + u * (above - below);
    double x = p > 0 ? normal_quantile(p) : high;
    x = x < low ? low : x > high ? high : x;
    return mirror ? -x : x;
}

// The mean of a normal number between two bounds.
inline double truncated_mean(double low, double high) {
    const bool mirror = low > 0;
    const double below = mirror ? -high : low, above = mirror ? -low : high;
    const double share = normal_tail(above) - normal_tail(below);
    // Beyond all tails: the bound nearer to the mean.
    if (!(share > 1e-300)) return mirror ? low : high;
    const double bell = 0.39894228040143267794;
    const double mean = bell * (std::exp(-0.5 * below * below) -
                                std::exp(-0.5 * above * above)) / share;
    return mirror ? -mean : mean;
}

template <class T>
void draw_latent(const Latent<T>& latent, int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
        const double mean = double(latent.values[i]) - double(latent.residuals[i]);
        const double* cut = latent.cuts + latent.codes[i];
        const double low = cut[0] - mean, high = cut[1] - mean;
        double x = truncated_normal(low, high, uniform(latent.key + uint64_t(i)));
        if (latent.row_scale && latent.row_scale[i] != T(1)) {
            const double centre = truncated_mean(low, high);
            x = centre + (x - centre) / double(latent.row_scale[i]);
        }
        latent.values[i] = T(mean + x);
        latent.residuals[i] = latent.values[i] - T(mean);
    }
}
