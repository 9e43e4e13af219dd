"""What is too large: checks and errors of memory, and of 32-bit numbers of columns."""

from __future__ import annotations

from skwfm._validation import shorten_text

__all__ = [
    "check_n_columns",
    "check_vector_length",
    "no_room_error",
    "ran_out_error",
    "samples_error",
]

# Columns, and the numbers of one, are counted by 32 bits in the core and in the maps of
# fields.
MAX_NUMBER = 2**31 - 1

_LESS_MEMORY = (
    "Take fewer factors or fields, or fewer columns: hash the labels by "
    "WeightedMultiLabelEncoder(categories='hash')."
)


def check_n_columns(n_columns: int, name: str = "X") -> None:
    """Raise when there are more columns than a number of 32 bits can count."""
    if n_columns > MAX_NUMBER:
        raise ValueError(
            f"{name} has {n_columns} columns, expected at most {MAX_NUMBER}. Hash the "
            "labels to fewer columns by WeightedMultiLabelEncoder(categories='hash')."
        )


def check_vector_length(length: int, n_factors: int) -> None:
    """Raise when a column has more numbers than 32 bits count."""
    if length > MAX_NUMBER:
        raise ValueError(
            f"n_factors={n_factors} gives every column {length} numbers, expected at "
            f"most {MAX_NUMBER}. Take fewer factors or fields."
        )


def no_room_error(
    n_columns: int, n_factors: int, needed: int, limit: int, most: int
) -> str:
    """Word the error for a table of factors that is larger than all memory."""
    fits = f"at most n_factors={most} fits" if most else "not even n_factors=1 fits"
    return (
        f"n_factors={n_factors} for {n_columns:,} columns takes {_size(needed)} of "
        f"memory or more, but there are {_size(limit)}: {fits}. {_LESS_MEMORY}"
    )


def ran_out_error(
    n_columns: int, n_factors: int, needed: int, error: BaseException
) -> str:
    """Word the error for training that ran out of memory."""
    return (
        f"Memory ran out ({shorten_text(str(error), 120) or type(error).__name__}): "
        f"n_factors={n_factors} for {n_columns:,} columns takes {_size(needed)} or "
        f"more. {_LESS_MEMORY}"
    )


def samples_error(n_kept: int, per_draw: int, limit: int | None) -> str:
    """Word the error for more kept draws than the memory holds."""
    there = "" if limit is None else f", but there are {_size(limit)}"
    most = 0 if limit is None else limit // per_draw
    fits = f": at most n_kept={most} fits" if most else ""
    return (
        f"n_kept={n_kept} draws of {_size(per_draw)} each take "
        f"{_size(n_kept * per_draw)} of memory{there}{fits}. Keep fewer draws, or take "
        "fewer factors or columns."
    )


def _size(n_bytes: int) -> str:
    if n_bytes < 2**20:
        return f"{-(-n_bytes // 2**10)} KiB"
    return f"{n_bytes / 2**30:,.3g} GiB" if n_bytes >= 2**30 else f"{n_bytes >> 20} MiB"
