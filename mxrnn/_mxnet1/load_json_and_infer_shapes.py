"""Symbols of MXNet 1 in MXNet 2: reads them and finds their shapes."""
from __future__ import annotations

import json
from typing import Any, List, Mapping, Sequence, Tuple

from .._graph.symbol_json import json_text
from . import legacy, mx

__all__ = ['infer_shapes', 'load_json']

Shapes = List[Tuple[int, ...]]

#: Operators' names in MXNet 1, and their names in MXNet 2.
_RENAMED = {'_np_cumsum': '_npi_cumsum', '_sample_multinomial': '_sample_categorical'}


def load_json(text: str) -> mx.sym.Symbol:
    """Read a Symbol whose operators may have MXNet 1's names."""
    if any('"%s"' % name in text for name in _RENAMED):
        text = json_text(json.loads(text, strict=False, object_hook=_renamed))
    return mx.sym.fromjson(text)


def _renamed(item: dict[str, Any]) -> dict[str, Any]:
    """If it is a node, a node with its operator's name in MXNet 2.

    All these operators have one input. MXNet 2 itself writes a _sample_multinomial with two.
    """
    if [type(entry) for entry in item.get('inputs', ())] == [list]:  # in attributes it is text
        item['op'] = _RENAMED.get(item['op'], item['op'])
    return item


def infer_shapes(symbol: mx.sym.Symbol, known: Mapping[str, Sequence[int]]
                 ) -> tuple[Shapes, Shapes, Shapes]:
    """Shapes of arguments, outputs and auxiliary states."""
    names = {*symbol.list_arguments(), *symbol.list_auxiliary_states()}
    given = {name: tuple(shape) for name, shape in known.items() if name in names}
    with legacy():
        found = symbol._infer_shape_impl(False, **given)
        if found[0] is None:
            partly = symbol._infer_shape_impl(True, **given)[0] or ()
            raise ValueError('the given shapes do not tell the shapes of %s' % (', '.join(
                name for name, shape in zip(symbol.list_arguments(), partly)
                if not shape or 0 in shape) or 'the arguments'))
    arg_shapes, out_shapes, aux_shapes = found
    return list(arg_shapes), list(out_shapes), list(aux_shapes)
