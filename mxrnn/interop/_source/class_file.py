"""The file while it is written: its layers, their weights, its methods."""
from __future__ import annotations

import hashlib
import re
from typing import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from ..._graph.graph import Node
from .program_names import cell_of, prefix_of, shown
from .python_text import METHODS, identifier

__all__ = ['File', 'flat_of', 'state_dict_of']


class File:
    """The class' layers and methods, and the functions before it.

    Parameters
    ----------
    arrays : dict of str to numpy.ndarray
        The parameters and auxiliary states, by MXNet's names.
    auxiliary : set of str
        Names of the auxiliary states.
    in_memory : bool
        Whether the class will have `operators`, functions of the program that registered them.
    ordered : bool
        Whether the weights of layers keep their order: an RNN with others reads computed ones.

    Attributes
    ----------
    clashes : bool
        Whether two layers have the same weights in different orders.
    operators : list of Node
        The nodes that these functions run.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], auxiliary: set[str],
                 in_memory: bool = False, ordered: bool = False) -> None:
        self.in_memory, self.ordered, self.clashes = in_memory, ordered, False
        self.operators: list[Node] = []
        self.arrays, self.auxiliary = dict(arrays), auxiliary
        self.helpers: dict[str, str] = {}
        #: Numbers that words of the methods stand for, and the nodes that have them.
        self.numbers: list[tuple[str, str]] = []
        self.methods: list[str] = []
        #: By loop body and arguments of its call: the body's method, and what it returns.
        self.loops: dict[object, tuple[str, list[str], list[bool]]] = {}
        #: Lines of ``__init__``.
        self.layers: list[str] = []
        #: By key of the state dict: for each element its position, from 1 on, in all of MXNet's
        #: parameters one after the other, or 0 for an element that stays 0; or the array itself.
        self.state: dict[str, np.ndarray] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.places: dict[str, np.ndarray] = {}
        first = 1
        for name, array in self.arrays.items():
            self.places[name] = np.arange(first, first + array.size).reshape(array.shape)
            first += array.size
        self._firsts = {name: int(each.flat[0]) for name, each in self.places.items() if each.size}
        self._claimed = np.zeros(first, bool)
        self._homes: dict[bytes, str] = {}
        self._made: dict[object, str] = {}
        self._attributes: set[str] = set()
        #: By MXNet's names, the texts for parameters that belong to no layer.
        self.bare = {name: 'self.' + self.attribute(name) for name in self.arrays}

    def attribute(self, name: str, taken: Collection[str] = METHODS) -> str:
        """An unused name for an attribute or a method, similar to `name` and not `taken`."""
        own = identifier(name, lambda own: own in self._attributes or own in taken)
        self._attributes.add(own)
        return own

    def has(self, name: str) -> bool:
        """Whether a layer has this name."""
        return 'self.' + name in self._made.values()

    def module(self, name: str, made_by: str, weights: Mapping[str, np.ndarray],
               constants: Mapping[str, np.ndarray] | None = None, *further: str) -> str:
        """The text for a layer. Makes the layer unless there already is an equal one.

        Parameters
        ----------
        name : str
            The wanted name.
        made_by : str
            The text that makes it: 'nn.Linear(16, 20)'.
        weights : dict
            Its parameters by torch's names, in the form of `state`.
        constants : dict, optional
            Arrays of its state that do not come from MXNet.
        further : str
            Formats for further lines of ``__init__``; the layer's text is filled in.
        """
        key = made_by, tuple((key, _digest(each)) for key, each in weights.items()), further
        if key not in self._made:
            own = self.attribute(name)
            self._made[key] = 'self.' + own
            self.layers.append('self.%s = %s%s' % (own, made_by, self._origin(own, weights)))
            self.layers += [line.format('self.' + own) for line in further]
            for end, places in weights.items():
                self._claim('%s.%s' % (own, end), places)
            for end, array in (constants or {}).items():
                self.constants['%s.%s' % (own, end)] = array
        return self._made[key]

    def _origin(self, layer: str, weights: Mapping[str, np.ndarray]) -> str:
        """A comment with MXNet's names for layers or cells, if they differ from `layer`."""
        spans = [(int(each.min()), int(each.max()), each) for each in weights.values() if each.size]
        parameters = [name for name, first in self._firsts.items() if any(
            low <= first <= high and (each == first).any() for low, high, each in spans)]
        prefixes: list[str] = []
        for each in (prefix_of, cell_of):
            prefixes = list(dict.fromkeys(map(each, parameters)))
            if len(prefixes) < 2:
                break
        same = [name.strip('_') for name in prefixes] == [layer]
        return '' if same or not prefixes else '  # %s of MXNet' % shown(prefixes)

    def _claim(self, key: str, places: np.ndarray) -> None:
        """Add the elements of a parameter. Equal elements under another key are shared."""
        self.state[key] = places
        home = self._homes.setdefault(_digest(places), key) if places.any() else key
        if home != key:
            self.layers.append('self.%s = self.%s' % (key, home))
        elif self._claimed[places[places > 0]].any():
            self.clashes = True
        self._claimed[places[places > 0]] = True

    def finish(self) -> None:
        """Make attributes for parameters that methods read and that belong to no layer."""
        read = set(re.findall(r'self\.\w+', '\n'.join(self.methods)))
        for name, own in self.bare.items():
            if own not in read:
                continue
            places, key = self.places[name], own[len('self.'):]
            home = self._homes.get(_digest(places))
            if home is not None and self.state[home].shape == places.shape:
                self.methods = [re.sub(re.escape(own) + r'\b', 'self.' + home, method)
                                for method in self.methods]
                continue
            array = self.arrays[name]
            made = 'torch.zeros(%s)' % ', '.join(map(str, array.shape or ((),)))
            if name in self.auxiliary or array.dtype.kind != 'f':
                dtype = '' if array.dtype == np.float32 else ', dtype=torch.%s' % array.dtype
                made = '%s.register_buffer(%r, %s%s)' % ('self', key, made[:-1], dtype + ')')
            else:
                made = 'self.%s = nn.Parameter(%s)' % (key, made)
            self.layers.append(made)
            self._claim(key, places)


def _digest(places: np.ndarray) -> bytes:
    """A short key for arrays of positions; different arrays have different keys."""
    return hashlib.blake2b(np.ascontiguousarray(places).data).digest()


def flat_of(file: File) -> np.ndarray:
    """All parameters one after the other, behind a zero."""
    kind = np.result_type('f', *{array.dtype for array in file.arrays.values()})
    return np.concatenate([np.zeros(1, kind)] + [array.reshape(-1).astype(kind, copy=False)
                                                 for array in file.arrays.values()])


def state_dict_of(file: File) -> dict[str, Tensor]:
    """The state dict of the class."""
    flat = flat_of(file)
    owners = [(0, np.dtype('float32')), *(
        (int(places.reshape(-1)[0]), file.arrays[name].dtype)
        for name, places in file.places.items() if places.size)]
    state = {}
    for key, places in file.state.items():
        first = int(places.max(initial=0))
        dtype = max((each for each in owners if each[0] <= first), key=lambda each: each[0])[1]
        state[key] = torch.from_numpy(flat[places].astype(dtype))
    return {**state, **{key: torch.from_numpy(np.array(array))
                        for key, array in file.constants.items()}}
