"""The two forms of a model, arrays and torch module, and how rows are cut for it.

Arrays: factors (n_columns, n_outputs * [n_fields *] k), linear (n_columns, n_outputs),
bias (n_outputs,). The module is built on their memory. Rows are cut into one bag per
field, except where an FM counts all pairs of a row: then one bag holds the row, and
many fields of one column each cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from skwfm._kernels.compiled import Scheme
from skwfm.nn import WeightedFFM, WeightedFM
from skwfm.nn._fm import FactorModule

__all__ = ["Layout", "arrays_of", "as_tensor"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """What the shape of a model depends on."""

    interactions: Literal["fm", "ffm"]
    n_factors: int
    fields: npt.NDArray[np.int32]
    """Field of each column."""
    n_fields: int
    intra_field: bool
    """Pairs inside a field count; for an FM also said where no field has two columns,
    which is the same."""

    @property
    def n_bags(self) -> int:
        """Bags of a row."""
        all_pairs = self.interactions == "fm" and self.intra_field
        return 1 if all_pairs else self.n_fields

    @property
    def values_per_label(self) -> int:
        """Factors of a label for one output; a bag sum is as long."""
        return self.n_factors * (self.n_fields if self.interactions == "ffm" else 1)

    def values_per_row(self, n_outputs: int, n_entries: float) -> int:
        """Values that scoring a row of so many entries needs at a time."""
        # One bag a row: its entries are taken one by one.
        terms = n_entries if self.n_bags == 1 and self.intra_field else self.n_bags
        return max(int(self.values_per_label * n_outputs * terms), 1)

    def cut(self) -> tuple[npt.NDArray[np.int32], int, bool]:
        """Return what cuts rows: bag of each column, number of bags, whether sorted."""
        if self.n_bags == 1:
            return np.zeros_like(self.fields), 1, True
        is_sorted = bool((self.fields[1:] >= self.fields[:-1]).all())
        return self.fields, self.n_fields, is_sorted

    def scheme(self, n_outputs: int) -> Scheme:
        """Return the same cut for the compiled core."""
        sizes: dict[str, Any] = {
            "field_aware": self.interactions == "ffm",
            "n_factors": self.n_factors,
            "n_outputs": n_outputs,
            "intra_field": self.intra_field,
        }
        if self.interactions == "fm" and self.intra_field:
            return Scheme(n_fields=1, **sizes)
        ids, n_fields, is_sorted = self.cut()
        return Scheme.of_fields(ids, is_sorted, n_fields=n_fields, **sizes)

    def build(
        self, table: Array, linear: Array | None, bias: Array | None
    ) -> FactorModule:
        """Return the torch module of some arrays, sharing their memory if it can.

        Parameters
        ----------
        table : array of shape (n_columns, n_outputs * values_per_label)
            Factors.
        linear : array of shape (n_columns, n_outputs) or None
            Linear coefficients.
        bias : array of shape (n_outputs,) or None
            Intercept.

        Returns
        -------
        WeightedFM or WeightedFFM
            On the CPU.
        """
        parts = {"bag.emb.weight": table, "linear": linear, "bias": bias}
        given = {
            key: as_tensor(part) for key, part in parts.items() if part is not None
        }
        options = {
            "num_outputs": table.shape[1] // self.values_per_label,
            "intra_field": self.intra_field,
            "linear": linear is not None,
            "bias": bias is not None,
            # No memory, and no draw from torch's random state.
            "device": "meta",
        }
        n_columns, k = len(table), self.n_factors
        module: FactorModule
        if self.interactions == "fm":
            module = WeightedFM(n_columns, k, **options)
        else:
            module = WeightedFFM(n_columns, k, self.n_fields, **options)
        module.load_state_dict(given, assign=True)
        return module


def arrays_of(
    module: torch.nn.Module,
) -> tuple[Array, Array | None, Array | None]:
    """Return what `Layout.build` made a module of; on the CPU sharing its memory."""
    state = {
        name: part.detach().cpu().numpy() for name, part in module.state_dict().items()
    }
    return state["bag.emb.weight"], state.get("linear"), state.get("bias")


def as_tensor(array: Array) -> torch.Tensor:
    """Share the memory of an array, or copy one that torch may not write to."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
