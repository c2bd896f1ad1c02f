"""An embedding table with further rows, which shares those of another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopipe.attaching.network_view import BOUND


class LongerTable(nn.Embedding):
    """Embeds ids below `start` by another table, and the following ones by its own rows.

    Parameters, and therefore the state dict, are those of the other table. `weight` shows all rows
    in a new tensor: what is written into it is lost.

    Args:
        table: the other table, or one made by this class.
        rows: the further rows (R, D). They are cast and moved to where the other table computes.
        unused: the number of last rows of the other table that have no token; they are left out.
    """

    def __init__(self, table: nn.Module, rows: Tensor, unused: int = 0) -> None:
        # Not the constructor of Embedding, which would make a table of its own.
        vars(self).update({name: one for name, one in vars(table).items() if name not in BOUND})
        self._start = int(vars(table)["num_embeddings"]) - unused
        self.num_embeddings = self._start + len(rows)
        # Not as submodule and parameter, which would change the names of the state dict.
        vars(self).update(_table=table, _rows=rows)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """All rows (N, D), as a new tensor."""
        shared: Tensor = vars(self)["_table"].weight[: self._start]
        return torch.cat([shared, vars(self)["_rows"].to(shared)])

    def forward(self, input: Tensor) -> Tensor:
        """Return the embeddings (..., D) of token ids."""
        state = vars(self)
        own = input >= self._start
        shared: Tensor = state["_table"](input.masked_fill(own, 0))
        rows = state["_rows"].to(shared)
        # Ids beyond the rows are an error of the look-up, as in any table.
        found = rows[(input - self._start).clamp(min=0).to(rows.device)]
        return torch.where(own.to(rows.device)[..., None], found, shared)
