"""What an export may replace: files that mxrnn wrote of the same model, unchanged since."""
from __future__ import annotations

import os
import re
from typing import Iterable, Mapping, NoReturn, Sequence

from .model import Model
from .onnx_checksum_and_session import intact

__all__ = ['OTHER_MODEL', 'check_onnx_target', 'is_of_model', 'refuse_to_replace']

#: Why exports of other models are refused.
OTHER_MODEL = 'is an export of another model'


def refuse_to_replace(path: str, why: str, such_as: str = '') -> NoReturn:
    """Raise the error for a file that must stay."""
    raise ValueError('%s exists, and %s: choose another name%s, or delete it if nobody needs it' % (
        path, why, such_as and ', such as %s' % such_as))


def is_of_model(model: Model, names: Iterable[str], arrays: Mapping[str, Sequence[int]],
                known: Mapping[str, Sequence[int]]) -> bool:
    """Whether a file may be an export of a model, of any epoch and with any options.

    Its names must be `known` or begin with the first word of a name in the graph, as names do that
    an export makes. Shapes of its `arrays` must be the known ones; begin states may have one row.
    """
    own = {node.name for node in model.graph.walk()}
    return all(name in known or any(each.startswith(re.split(r'[._]', name)[0]) for each in own)
               for name in names) and all(
        len(shape) == len(known[name]) and all(
            one == other or 1 in (one, other) for one, other in zip(shape, known[name]))
        for name, shape in arrays.items() if name in known)


def check_onnx_target(path: str, model: Model) -> None:
    """Refuse to replace a file that `to_onnx` did not write of this model. Pipes, devices and empty
    files are no such files."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return
    if not intact(path):
        refuse_to_replace(path, 'mxrnn did not write it, or it was changed since')
    import onnx
    graph = onnx.load(path).graph
    arrays = {each.name: tuple(each.dims) for each in graph.initializer}
    if not is_of_model(model, [*arrays, *(each.name for each in graph.input)], arrays, {
            name: array.shape for name, array in {**model.arg_params, **model.aux_params}.items()}):
        refuse_to_replace(path, OTHER_MODEL)
