from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np

from .nd import DType, NDArray

Key = int | tuple[int, ...]

class _DataDesc(NamedTuple):
    name: str
    shape: tuple[int, ...]

class DataDesc(_DataDesc):
    dtype: DType
    layout: str
    def __new__(cls, name: str, shape: Sequence[int], dtype: DType = ...,
                layout: str = ...) -> DataDesc: ...

class DataBatch:
    data: list[NDArray]
    label: list[NDArray]
    pad: int | None
    index: np.ndarray | list[int] | None
    bucket_key: Key | None
    provide_data: list[DataDesc]
    provide_label: list[DataDesc]
    new_epoch: bool  # set by StreamIter
    def __init__(self, data: list[NDArray], label: list[NDArray] | None = ...,
                 pad: int | None = ..., index: np.ndarray | list[int] | None = ...,
                 bucket_key: Key | None = ..., provide_data: Sequence[DataDesc] | None = ...,
                 provide_label: Sequence[DataDesc] | None = ...
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
