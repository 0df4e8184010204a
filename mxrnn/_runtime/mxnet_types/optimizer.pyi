from typing import Any

from .lr_scheduler import LRScheduler

class Optimizer:
    num_update: int
    begin_num_update: int
    lr_scheduler: LRScheduler | None
    _all_index_update_counts: dict[int, dict[Any, int]]
    _index_update_count: dict[Any, int]
    def __init__(self, **kwargs: Any) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class Updater:
    optimizer: Optimizer
    states: dict[Any, Any]
    states_synced: dict[Any, bool]
    def get_states(self, dump_optimizer: bool = ...) -> bytes: ...
    def __getattr__(self, name: str) -> Any: ...

def __getattr__(name: str) -> Any: ...
