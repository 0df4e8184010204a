"""A drop-in replacement for ``mxnet.rnn``, MXNet's symbolic RNN cell API.

    import mxrnn as rnn
    from mxrnn import mx    # MXNet, importable on current Python and NumPy

    cell = rnn.LSTMCell(64, prefix='lstm_')
    outputs, states = rnn.fuse(cell).unroll(20, mx.sym.Variable('data'), merge_outputs=True)

A cell builds the graph of one step; `unroll` builds the graph of a whole sequence. The graph is
MXNet's, and `mx.mod.Module` trains it. ``help(rnn.LSTMCell)`` and so on describe one name:

- Cells: `RNNCell`, `LSTMCell`, `GRUCell`. `FusedRNNCell` runs all layers, directions and steps as
  one operator. Further: `LSTMPCell`, `LayerNormLSTMCell`, `LayerNormGRUCell`, `ConvRNNCell`,
  `ConvLSTMCell`, `ConvGRUCell`. Derive your own from `BaseRNNCell` or `BaseConvRNNCell`.
- Cells made of cells: `SequentialRNNCell`, `BidirectionalCell`, `DropoutCell`, `ZoneoutCell`,
  `ResidualCell`, `VariationalDropoutCell`, `WeightDropCell`. Derive your own from `ModifierCell`.
  `RNNParams` holds weights that cells share.
- Sequences: `fuse` unrolls ordinary cells at the speed of the fused operator. `dynamic_unroll`
  makes a loop for any length. `carry_states` begins each batch with the states of the one before.
- Data: `encode_sentences` and `decode_sentences`. `BucketSentenceIter`, `SentencePairIter` and
  `StreamIter` make batches. `write_tokens` and `read_tokens` keep a corpus on disk.
- Checkpoints for all kinds of cells: `do_rnn_checkpoint` for `fit`, `save_rnn_checkpoint`,
  `load_rnn_checkpoint`.
- Inference: `Predictor` for whole sequences, `Stepper` step by step.
- Without MXNet: `interop` reads checkpoints and converts them to torch and ONNX and back.
- `install` makes ``mx.rnn`` mxrnn; `device_report` says what MXNet runs on.

The folder docs has tables of these names, recipes, and explanations of MXNet's error messages.
``import mxrnn`` does not import MXNet; the first use of a name that needs it does. After ``import
mxrnn``, ``import mxnet`` works on current Python and NumPy too.
"""
from __future__ import annotations

from ._runtime import finder as _finder
from ._runtime.versions import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:  # the names of the table below, for programs that read types
    from . import init as init
    from . import interop as interop
    from . import io as io
    from . import rnn as rnn
    from . import rnn_cell as rnn_cell
    from ._cells.carried_states import carry_states as carry_states
    from ._cells.dynamic_unroll import dynamic_unroll as dynamic_unroll
    from ._inference.predictor import Predictor as Predictor
    from ._inference.stepper import Stepper as Stepper
    from ._operator.fuse import fuse as fuse
    from ._runtime.device_report import device_report as device_report
    from ._runtime.mxnet import mx as mx
    from .io import *  # noqa: F403
    from .rnn import *  # noqa: F403
    from .rnn_cell import *  # noqa: F403

__version__ = VERSION

#: Modules, and the public names that are imported from each when one of them is first used.
_NAMES = {
    '._runtime.mxnet': 'mx',
    '._runtime.device_report': 'device_report',
    '.rnn_cell': '''RNNParams BaseRNNCell RNNCell LSTMCell GRUCell FusedRNNCell SequentialRNNCell
        DropoutCell ModifierCell ZoneoutCell ResidualCell BidirectionalCell BaseConvRNNCell
        ConvRNNCell ConvLSTMCell ConvGRUCell VariationalDropoutCell WeightDropCell LSTMPCell
        LayerNormLSTMCell LayerNormGRUCell MissingWeightsError''',
    '._cells.carried_states': 'carry_states',
    '._cells.dynamic_unroll': 'dynamic_unroll',
    '._operator.fuse': 'fuse',
    '.rnn': '''Checkpoint CheckpointError do_rnn_checkpoint load_rnn_checkpoint rnn_unroll
        save_rnn_checkpoint''',
    '._inference.predictor': 'Predictor',
    '._inference.stepper': 'Stepper',
    '.io': '''BucketSentenceIter SentencePairIter StreamIter decode_sentences encode_sentences
        read_tokens write_tokens''',
}
_PUBLIC = {name: module for module, names in _NAMES.items() for name in names.split()}

#: Public modules that are imported when they are first used.
_MODULES = ('init', 'interop', 'io', 'rnn', 'rnn_cell')

if not TYPE_CHECKING:  # type checkers cannot follow a table; they know the names from above
    # The names of `from mxnet.rnn import *`, and ours; none that would hide a program's own.
    __all__ = ['install', 'rnn_cell', 'rnn', 'io', *(name for name in _PUBLIC if name != 'mx')]

    def __getattr__(name):
        import importlib
        if name in _PUBLIC:
            value = getattr(importlib.import_module(_PUBLIC[name], __name__), name)
        elif name in _MODULES:
            value = importlib.import_module('.' + name, __name__)
        else:
            raise AttributeError('module %r has no attribute %r' % (__name__, name))
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    special = [name for name in globals() if name.startswith('__')]
    return sorted({*special, *_PUBLIC, *_MODULES, 'install'})


def install(fuse: bool | None = None) -> None:
    """Replace ``mxnet.rnn`` by this package, for programs that cannot be edited.

    Afterwards ``mx.rnn``, ``import mxnet.rnn`` and ``from mxnet.rnn import ...`` return mxrnn.
    Names that a program imported from the original before stay the original's. This does not
    import MXNet.

    Parameters
    ----------
    fuse : bool, optional
        Bind graphs with sym.RNN for their recurrences: faster, with equal results up to rounding.
        The graphs themselves stay the same. None: only if the environment variable MXRNN_FUSE is 1.

    Examples
    --------
    >>> import mxrnn
    >>> mxrnn.install()
    >>> import mxnet as mx
    >>> mx.rnn is mxrnn
    True
    """
    if fuse is not None and type(fuse) is not bool:
        raise TypeError('fuse must be a bool or None, got %r' % (fuse,))
    _finder.replace_rnn(fuse)
    if _finder.fuses and 'rnn_cell' in globals():  # otherwise its import will do it
        import importlib
        importlib.import_module('._inference.fuse_on_bind', __name__)


_finder.enable()
