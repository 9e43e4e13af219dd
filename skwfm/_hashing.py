"""Labels to columns without a vocabulary.

    column(label) = BLAKE2b-64(spelling(label)) mod n_columns

The 8 bytes of BLAKE2b (RFC 7693, `digest_size=8`, no key) are read as a little-endian
integer. The spelling is one letter for the kind, then the value, so that kinds stay
apart and equal labels have one spelling:

========== ===========================================================================
text       ``t`` and the text in UTF-8
number     ``n`` and the exact value as a fraction in lowest terms, in lower-case
           hexadecimal: ``n1/1`` for 1 and 1.0, ``n-1/2`` for -0.5, ``ninf``
bool       ``b1``, ``b0``
bytes      ``y`` and the bytes
date       ``d`` and the ISO format; of a time with a zone, that of UTC
========== ===========================================================================

Nothing of it depends on the machine, the process or the version of Python. Cost: about
a microsecond per distinct label of a call; storage: none.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._columns import Bags, Codes, row_of, to_csr
from skwfm._labels import kind_of
from skwfm._validation import cell_error
from skwfm._vocabulary import pairs_of

__all__ = ["HashedLabels", "label_hash"]

_NO_LABELS = np.empty(0, dtype=object)
_NO_LABELS.setflags(write=False)


def label_hash(label: Any) -> int:
    """Return the 64-bit hash of a label.

    Raises
    ------
    TypeError
        If the label is of a kind without a spelling.

    Examples
    --------
    >>> from skwfm._hashing import label_hash
    >>> label_hash("Drama") % 1000, label_hash(1) == label_hash(1.0)
    (284, True)
    """
    digest = hashlib.blake2b(_spelling(label), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _spelling(label: Any) -> bytes:
    kind = kind_of(type(label))
    if kind == "text":
        return b"t" + str(label).encode("utf-8", "surrogatepass")
    if kind == "bool":
        return b"b1" if label else b"b0"
    if kind == "number":
        return b"n" + _number(label).encode()
    if isinstance(label, bytes):
        return b"y" + label
    if isinstance(label, datetime.datetime) and label.tzinfo is not None:
        label = label.astimezone(datetime.UTC)
    if isinstance(label, datetime.date | datetime.time):
        return b"d" + label.isoformat().encode()
    if isinstance(label, np.datetime64):
        return b"d" + str(label).encode()
    raise TypeError(kind)


def _number(label: Any) -> str:
    exact = label if hasattr(label, "as_integer_ratio") else float(label)
    try:
        top, bottom = exact.as_integer_ratio()
    except OverflowError:
        return "inf" if label > 0 else "-inf"
    return f"{top:x}/{bottom:x}"


@dataclass(frozen=True)
class HashedLabels:
    """The columns of one input column, to which its labels are hashed.

    It stands in the place of a `Vocabulary`.

    Attributes
    ----------
    n_columns : int
        Number of output columns.
    """

    n_columns: int

    @property
    def labels(self) -> npt.NDArray[Any]:
        """No labels: an empty array."""
        return _NO_LABELS

    rare = labels

    def columns(self, bags: Bags, name: object) -> Codes:
        """Return the column of every distinct label.

        Raises
        ------
        TypeError
            If a label has no hash; `name` is the column in the message.
        """
        out = np.empty(len(bags.labels), dtype=np.int32)
        for code, label in enumerate(bags.labels):
            try:
                out[code] = label_hash(label) % self.n_columns
            except TypeError:
                used = bags.codes == code
                if used.any():
                    row = row_of(bags.indptr, int(np.argmax(used)))
                    expected = "text, numbers, bools, bytes or dates to hash"
                    message = cell_error(name, row, label, expected)
                    raise TypeError(message) from None
        return out

    def encode(self, bags: Bags, name: object) -> sp.csr_matrix:
        """Return the summed weights of every row, canonical (see `to_csr`)."""
        return to_csr(bags, self.columns(bags, name), self.n_columns)

    def decode(self, block: Any) -> list[list[tuple[Any, float]]]:
        """Return (name, weight) pairs: which labels they were is not known."""
        return pairs_of(block, _name)

    def texts(self) -> list[str]:
        """Return the names of the columns."""
        return list(map(_name, range(self.n_columns)))


def _name(column: int) -> str:
    return f"<hash {column}>"
