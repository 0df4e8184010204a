from typing import Any, Sequence

from .nd import NDArray

class Executor:
    arg_dict: dict[str, NDArray]
    aux_dict: dict[str, NDArray]
    grad_dict: dict[str, NDArray]
    outputs: list[NDArray]
    def forward(self, is_train: bool = ..., **kwargs: NDArray) -> list[NDArray]: ...
    def backward(self, out_grads: NDArray | Sequence[NDArray] | None = ...,
                 is_train: bool = ...) -> None: ...
    def reshape(self, partial_shaping: bool = ..., allow_up_sizing: bool = ...,
                **kwargs: tuple[int, ...]) -> Executor: ...
    def __getattr__(self, name: str) -> Any: ...

def __getattr__(name: str) -> Any: ...
