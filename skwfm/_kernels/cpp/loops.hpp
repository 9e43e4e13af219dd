// The loops over rows, of both machines: Row is `FmRow` or `FfmRow`.
// Included inside the namespace of one instruction set.

// Finds the factors of a model, which are only read.
template <class T>
Finder<T> reader(const Model<T>& model) {
    return {const_cast<T*>(model.factors), model.stride, {nullptr, nullptr}};
}

template <class T, class Row>
void score_rows(const Rows<T>& rows, const Cut& cut, const Model<T>& model, T* out,
                const Work& work) {
    Arena arena{work.scratch};
    Bags<T> bags(rows, cut, reader(model), work.max_entries, arena);
    Row row(model, cut, bags, arena);
    Ahead<T> ahead{rows, cut, bags.find, int(row.length * sizeof(T)), false,
                   model.linear, model.linear_stride};
    for (int64_t i = 0; i < rows.n_rows; i++) {
        bags.read(i);
        ahead.aim(i + Row::AHEAD);
        row.score(bags, ahead, Purpose::score);
        for (int c = 0; c < row.n_outputs; c++)
            out[i * row.n_outputs + c] = row.scores[c];
    }
}

template <class T, class Row>
Progress train_rows(const Rows<T>& rows, const Cut& cut, const Model<T>& model,
                    const Table<T>& table, const Options<T>& options, const Hot<T>& hot,
                    T* bias, const T* target, const T* weight, T* scores,
                    const Work& work) {
    Arena arena{work.scratch};
    const Finder<T> find{table.rows, table.stride, hot};
    Bags<T> bags(rows, cut, find, work.max_entries, arena);
    Row row(model, cut, bags, arena);
    const int32_t length = Row::LENGTH > 0 ? Row::LENGTH : row.length;
    const Mover<T> mover{table, options, model.n_outputs, hot};
    Ahead<T> ahead{rows, cut, bags.find, int(table.stride * sizeof(T)), true, nullptr, 0};
    const Purpose purpose = options.step == Step::adagrad_weight ? Purpose::directions
                                                                 : Purpose::steps;
    double loss = 0, squares = 0;
    for (int64_t i = 0; i < rows.n_rows; i++) {
        bags.read(i);
        ahead.aim(i + Row::AHEAD);
        ahead.aim_far(i, target, weight);
        row.score(bags, ahead, purpose);
        if (scores)
            std::memcpy(scores + i * row.n_outputs, row.scores,
                        row.n_outputs * sizeof(T));
        const int64_t at = rows.row(i);
        const T w = weight ? weight[at] : T(1);
        double part = row_loss(options, row.scores, target[at], row.n_outputs,
                               row.gradient);
        bool good = finite(part);
        if (!good) return {loss, i, squares};
        T square = 0;
        for (int c = 0; c < row.n_outputs; c++) {
            row.gradient[c] *= w;
            square += row.gradient[c] * row.gradient[c];
        }
        if (!finite(square)) return {loss, i, squares};
        if (options.counting) mover.count(bags);
        const T g = row.n_outputs == 1 ? row.gradient[0] : T(1);
        const auto linear = [&](int32_t q) {
            if (options.fit_linear)
                for (int c = 0; c < row.n_outputs; c++)
                    good &= mover.linear(bags.at[q], row.gradient[c] * bags.weights[q], c);
        };
        if (row.paired) {
            good &= row.move(bags, mover, g, ahead);
            for (int32_t q = 0; good && q < bags.n; q++) linear(q);
        } else {
            row.directions(bags, [&](int32_t q, const T* direction, T square) {
                good &= mover.vector(bags.at[q], direction, length, g * bags.weights[q],
                                     square);
                linear(q);
            });
        }
        if (!good) return {loss, i, squares};
        loss += double(w) * part;
        squares += double(square);
        mover.bias(bias, row.gradient);
    }
    return {loss, rows.n_rows, squares};
}
