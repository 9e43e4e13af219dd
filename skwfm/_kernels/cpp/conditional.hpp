// The conditional distribution of a block, see `gibbs.hpp`.
// Included inside the namespace of one instruction set.

// A block's normal distribution: the upper triangle of the precision, and the vector that
// is the precision times the mean.
struct Normal {
    static constexpr int LANES = WIDTH<double> < 4 ? WIDTH<double> : 4;
    using Wide = Pack<double, LANES>;

    const int dim, width;
    double *precision, *vector, *noise, *inverse, *block;

    Normal(int dim, Arena& arena) : dim(dim), width((dim + LANES - 1) / LANES * LANES) {
        precision = arena.take<double>(int64_t(dim) * width);
        block = arena.take<double>(width);
        for (int64_t d = 0; d < int64_t(dim) * width; d++) precision[d] = 0;
        vector = arena.take<double>(width);
        noise = arena.take<double>(width);
        inverse = arena.take<double>(width);
    }

    // From G and the sum of w e [u, 1], to the conditional given a residual that has the
    // label's own part taken out. Rows are taken by whole packs: what lies below the
    // diagonal is never read.
    template <class T>
    void condition(const Prior& prior, int64_t label, const T* theta) {
        const int64_t group = int64_t(prior.groups[label]) * dim;
        const double alpha = prior.noise_precision;
        for (int d = 0; d < width; d++) block[d] = d < dim ? double(theta[d]) : 0;
        for (int r = 0; r < dim; r++) {
            double* row = precision + r * width;
            vector[r] += row[r] * block[r];
            double above = 0;
            for (int c = r + 1; c < dim; c++) {
                above += row[c] * block[c];
                vector[c] += row[c] * block[r];
            }
            vector[r] += above;
        }
        for (int r = 0; r < dim; r++) {
            double* row = precision + r * width;
            for (int c = r / LANES * LANES; c < width; c += LANES)
                (Wide::all(alpha) * Wide::load(row + c)).store(row + c);
            row[r] += prior.precision[group + r];
            vector[r] = alpha * vector[r] + prior.precision[group + r] * prior.mean[group + r];
        }
    }

    // Factors the precision as R^T R and replaces the vector by the mean, or for a draw
    // by mean - r (block - mean) + sqrt(1 - r^2) R^-1 z, r the overrelaxation; false where
    // that is not finite. G was summed with a relative error of `rounding`: directions
    // that it hardly has get no precision below that.
    template <class T>
    bool draw(const Prior& prior, int64_t label, const T* theta, double rounding) {
        for (int c = 0; c < dim; c++) block[c] = rounding * precision[c * width + c];
        for (int c = 0; c < dim; c++) {
            double* row = precision + c * width;
            if (row[c] < block[c]) row[c] = block[c];
            if (!(row[c] > 0)) return false;
            inverse[c] = 1 / std::sqrt(row[c]);
            for (int d = c / LANES * LANES; d < width; d += LANES)
                (Wide::all(inverse[c]) * Wide::load(row + d)).store(row + d);
            for (int r = c + 1; r < dim; r++)
                take(precision + r * width, row[r], row, r / LANES * LANES);
            vector[c] *= inverse[c];
            const double factor = vector[c];
            for (int d = c + 1; d < dim; d++) vector[d] -= factor * row[d];
        }
        if (prior.draws) {
            normals(noise, dim, prior.key + uint64_t(label) * uint64_t(dim));
            const double over = prior.overrelaxation, rest = std::sqrt(1 - over * over);
            for (int d = 0; d < dim; d++)
                vector[d] = (1 + over) * vector[d] + rest * noise[d];
        }
        bool good = true;
        for (int r = dim - 1; r >= 0; r--) {
            const double* row = precision + r * width;
            double value = vector[r];
            for (int d = r + 1; d < dim; d++) value -= row[d] * vector[d];
            vector[r] = value * inverse[r];
            good &= finite(vector[r]);
        }
        if (prior.draws)
            for (int d = 0; d < dim; d++)
                vector[d] -= prior.overrelaxation * double(theta[d]);
        return good;
    }

    // out[first ..] -= factor * row[first ..]
    void take(double* out, double factor, const double* row, int first) const {
        for (int d = first; d < width; d += LANES)
            (Wide::load(out + d) - Wide::all(factor) * Wide::load(row + d)).store(out + d);
    }
};
