from typing import Any

from .lr_scheduler import LRScheduler
from .nd import NDArray

Key = int | str
State = NDArray | float | None | list[State] | tuple[State, ...]

class Optimizer:
    num_update: int
    begin_num_update: int
    lr_scheduler: LRScheduler | None
    _all_index_update_counts: dict[int, dict[Key, int]]
    _index_update_count: dict[Key, int]
    def __init__(self, **kwargs: Any) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class Updater:
    optimizer: Optimizer
    states: dict[Key, State]
    states_synced: dict[Key, bool]
    def get_states(self, dump_optimizer: bool = ...) -> bytes: ...
    def __getattr__(self, name: str) -> Any: ...

def __getattr__(name: str) -> Any: ...
