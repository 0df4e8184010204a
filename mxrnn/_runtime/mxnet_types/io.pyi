from typing import Any, Iterator, NamedTuple, Sequence

from .nd import NDArray

class _DataDesc(NamedTuple):
    name: str
    shape: tuple[int, ...]

class DataDesc(_DataDesc):
    dtype: Any
    layout: str
    def __new__(cls, name: str, shape: Sequence[int], dtype: Any = ...,
                layout: str = ...) -> DataDesc: ...

class DataBatch:
    data: list[NDArray]
    label: list[NDArray]
    pad: int | None
    index: Any
    bucket_key: Any
    provide_data: list[DataDesc]
    provide_label: list[DataDesc]
    new_epoch: bool  # set by StreamIter
    def __init__(self, data: Any, label: Any = ..., pad: int | None = ..., index: Any = ...,
                 bucket_key: Any = ..., provide_data: Any = ..., provide_label: Any = ...
                 ) -> None: ...

# provide_data and provide_label are attributes of some iterators and properties of others.
class DataIter:
    batch_size: int
    def __init__(self, batch_size: int = ...) -> None: ...
    def __iter__(self) -> Iterator[DataBatch]: ...
    def __next__(self) -> DataBatch: ...
    def next(self) -> DataBatch: ...
    def reset(self) -> None: ...
    def iter_next(self) -> bool: ...
    def __getattr__(self, name: str) -> Any: ...

def __getattr__(name: str) -> Any: ...
