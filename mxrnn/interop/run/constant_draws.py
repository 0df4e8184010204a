"""Constants in place of random numbers, for comparing models that draw in another order."""
from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ['ConstantDraws']

#: By operator: a number that it may draw, whatever its parameters; one half for the others.
_DRAWN = {'multinomial': 0., 'poisson': 1., 'bernoulli': 1., 'bernoulli_': 1.}


class ConstantDraws(TorchDispatchMode):  # type: ignore[misc]
    """While it is entered, torch draws one constant for each distribution."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags or not isinstance(drawn, Tensor):
            return drawn
        name = func._schema.name.rpartition(':')[2]
        if name == 'randint':
            return drawn.fill_(args[0] if func._overloadname.startswith('low') else 0)
        return drawn.fill_(_DRAWN.get(name, .5))
