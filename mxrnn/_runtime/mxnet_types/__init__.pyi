"""Types of those parts of MXNet that mxrnn takes and returns; everything else is Any.

Read by type checkers only. Programs see these types through ``from mxrnn import mx``.
"""
from typing import Any

from . import base as base
from . import context as context
from . import executor as executor
from . import init as init
from . import io as io
from . import kvstore as kvstore
from . import lr_scheduler as lr_scheduler
from . import mod as mod
from . import nd as nd
from . import optimizer as optimizer
from . import sym as sym
from .base import MXNetError as MXNetError
from .context import Context as Context
from .context import cpu as cpu
from .context import current_context as current_context
from .context import gpu as gpu

initializer = init
kv = kvstore
module = mod
ndarray = nd
symbol = sym
__version__: str

def __getattr__(name: str) -> Any: ...
