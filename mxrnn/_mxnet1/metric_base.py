"""How MXNet 1 computes a metric, joins several, and makes them from names."""
from __future__ import annotations

import contextlib
import json
from typing import Any, Callable, Dict, Iterable, Sequence, Tuple, Union

import numpy

from . import mx

__all__ = ['Arrays', 'CompositeEvalMetric', 'CustomMetric', 'EvalMetric', 'Metric', 'Names',
           'alias', 'array', 'check_label_shapes', 'create', 'np', 'register']

#: Labels or predictions.
Arrays = Union[mx.nd.NDArray, Sequence[mx.nd.NDArray]]
#: A function of a label and a prediction that returns a value, or a sum and its count.
_Function = Callable[[numpy.ndarray, numpy.ndarray], Union[float, Tuple[float, int]]]
#: A metric, or a name for one.
Metric = Union[str, Dict[str, Any], 'EvalMetric', _Function,  # type: ignore[misc]
               Sequence['Metric']]
Names = Union[Sequence[str], None]

check_label_shapes = mx.gluon.metric.check_label_shapes


def array(value: mx.nd.NDArray | numpy.ndarray) -> numpy.ndarray:
    """`value` as a NumPy array."""
    return value.asnumpy() if isinstance(value, mx.nd.NDArray) else numpy.asarray(value)


class EvalMetric(mx.gluon.metric.EvalMetric):
    """A metric like MXNet 1's, for programs to derive from.

    The value is ``sum_metric / num_inst``. With `has_global_stats`, sums since `reset` and since
    `reset_local` are kept separately.
    """

    num_inst: int

    def __init__(self, name: str, output_names: Names = None, label_names: Names = None,
                 has_global_stats: bool = False, **kwargs: object) -> None:
        self._has_global_stats = has_global_stats
        super().__init__(name, output_names, label_names, **kwargs)

    def reset(self) -> None:
        """Reset all sums."""
        super().reset()
        self.global_num_inst, self.global_sum_metric = 0, 0.0

    def reset_local(self) -> None:
        """Reset all sums except the global ones."""
        super().reset()

    def _add(self, total: float, count: int) -> None:
        self.sum_metric += total
        self.global_sum_metric += total
        self.num_inst += count
        self.global_num_inst += count

    def _value(self, total: float, count: int) -> float:
        return total / count if count else float('nan')

    def get(self) -> tuple[str | list[str], float | list[float]]:
        """Name and value."""
        return self.name, self._value(self.sum_metric, self.num_inst)

    def get_global(self) -> tuple[str | list[str], float | list[float]]:
        """Name and value since `reset`."""
        if not self._has_global_stats:
            return self.get()
        return self.name, self._value(self.global_sum_metric, self.global_num_inst)

    def get_global_name_value(self) -> list[tuple[str, float]]:
        """Names and values since `reset`."""
        name, value = self.get_global()
        return list(zip(*(each if isinstance(each, list) else [each] for each in (name, value))))


register = mx.registry.get_register_func(EvalMetric, 'metric')
alias = mx.registry.get_alias_func(EvalMetric, 'metric')


def create(metric: Metric, *args: Any, **kwargs: Any) -> EvalMetric:
    """A metric from a name, a function, a list of them, or itself.

    A dict, or JSON, has a name under 'metric' and arguments; JSON may be ``[name, arguments]`` too.
    """
    if isinstance(metric, list):
        composite = CompositeEvalMetric()
        for each in metric:
            composite.add(create(each, *args, **kwargs))
        return composite
    if callable(metric):
        return CustomMetric(metric, *args, **kwargs)  # type: ignore[arg-type]
    if isinstance(metric, str) and metric.startswith(('[', '{')):
        with contextlib.suppress(KeyError, TypeError, ValueError):  # then it is not a name either
            found = json.loads(metric)
            name, options = found if isinstance(found, list) else (found['metric'], found)
            metric = dict(options, metric=name)
    if isinstance(metric, dict) and 'metric' in metric:
        options = {**metric, **kwargs}
        return create(options.pop('metric'), *args, **options)
    if isinstance(metric, (str, dict)):
        known = mx.registry.get_registry(EvalMetric)
        if not isinstance(metric, str) or metric.lower() not in known:
            raise ValueError('the metric must be one of %s, or {"metric": one of them, ...}, got %r'
                             % (', '.join(sorted(known)), metric))
        return known[metric.lower()](*args, **kwargs)
    if not (hasattr(metric, 'update') and hasattr(metric, 'get')):
        raise TypeError('metric must be a name, a function, a metric or a list of them, got %r'
                        % (metric,))
    if args or kwargs:
        raise TypeError('arguments are for the name of a metric, not for the metric %r' % (metric,))
    return metric  # type: ignore[return-value]


@alias('compositeevalmetric', 'composite')
class CompositeEvalMetric(mx.gluon.metric.CompositeEvalMetric, EvalMetric):
    """Several metrics as one."""

    def __init__(self, metrics: Iterable[Metric] | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(None, *args, **kwargs)  # type: ignore[arg-type]
        self.metrics: list[EvalMetric] = [create(each) for each in metrics or ()]

    def add(self, metric: Metric) -> None:
        """Add a metric."""
        self.metrics.append(create(metric))

    def reset_local(self) -> None:
        for metric in self.metrics:
            metric.reset_local()

    def get_global(self) -> tuple[list[str], list[float]]:
        pairs = [pair for metric in self.metrics for pair in metric.get_global_name_value()]
        return [name for name, _ in pairs], [value for _, value in pairs]


@register
class CustomMetric(EvalMetric):
    """A metric whose value is a function of a label and a prediction, as NumPy arrays."""

    def __init__(self, feval: _Function, name: str | None = None, allow_extra_outputs: bool = False,
                 output_names: Names = None, label_names: Names = None) -> None:
        if name is None:
            name = feval.__name__
            if '<' in name:  # a lambda has no name
                name = 'custom(%s)' % name
        self._feval, self._allow_extra_outputs = feval, allow_extra_outputs
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        if not self._allow_extra_outputs:
            check_label_shapes(labels, preds)
        for pred, label in zip(preds, labels):
            value = self._feval(array(label), array(pred))
            self._add(*(value if isinstance(value, tuple) else (value, 1)))


def np(numpy_feval: _Function, name: str | None = None, allow_extra_outputs: bool = False
       ) -> CustomMetric:
    """A metric from a function of NumPy arrays."""
    return CustomMetric(numpy_feval, name, allow_extra_outputs)
