"""How MXNet 1 counts a metric, joins several and makes them from names."""
from __future__ import annotations

from typing import Any, Callable, Iterable

import numpy

__all__ = ['CompositeEvalMetric', 'CustomMetric', 'EvalMetric', 'alias', 'array',
           'check_label_shapes', 'create', 'np', 'register']

#: Metrics by their names in small letters.
_REGISTRY: dict[str, Any] = {}


def check_label_shapes(labels: Any, preds: Any, wrap: bool = False, shape: bool = False) -> Any:
    """Refuse labels and predictions of different numbers, or of different shapes.

    With `wrap`, arrays that stand alone are put into lists.
    """
    one, other = (labels.shape, preds.shape) if shape else (len(labels), len(preds))
    if one != other:
        raise ValueError('Shape of labels %s does not match shape of predictions %s'
                         % (one, other))
    if wrap:
        return [each if isinstance(each, (list, tuple)) else [each] for each in (labels, preds)]
    return labels, preds


def array(value: Any) -> Any:
    """`value` as a NumPy array."""
    return value.asnumpy() if hasattr(value, 'asnumpy') else numpy.asarray(value)


class EvalMetric:
    """A metric as MXNet 1's, for programs to derive from.

    ``sum_metric / num_inst`` is the value. The sums since `reset` and those since `reset_local`
    are kept apart if `has_global_stats` is given.
    """

    def __init__(self, name: str, output_names: Any = None, label_names: Any = None,
                 **kwargs: Any) -> None:
        self.name, self.output_names, self.label_names = str(name), output_names, label_names
        self._has_global_stats = kwargs.pop('has_global_stats', False)
        self._kwargs = kwargs
        self.reset()

    def __str__(self) -> str:
        return 'EvalMetric: %s' % dict(self.get_name_value())

    def get_config(self) -> dict[str, Any]:
        """How to make this metric again."""
        return {**self._kwargs, 'metric': type(self).__name__, 'name': self.name,
                'output_names': self.output_names, 'label_names': self.label_names}

    def reset(self) -> None:
        """Begin anew."""
        self.num_inst, self.sum_metric = 0, 0.0
        self.global_num_inst, self.global_sum_metric = 0, 0.0

    def reset_local(self) -> None:
        """Begin anew, but for the global values."""
        self.num_inst, self.sum_metric = 0, 0.0

    def update(self, labels: Any, preds: Any) -> None:
        """Count lists of labels and predictions."""
        raise NotImplementedError

    def update_dict(self, label: dict[Any, Any], pred: dict[str, Any]) -> None:
        """Count labels and predictions by name."""
        preds = (list(pred.values()) if self.output_names is None
                 else [pred[name] for name in self.output_names])
        labels = (list(label.values()) if self.label_names is None
                  else [label[name] for name in self.label_names])
        self.update(labels, preds)

    def _add(self, total: Any, count: int) -> None:
        self.sum_metric += total
        self.global_sum_metric += total
        self.num_inst += count
        self.global_num_inst += count

    def _value(self, total: float, count: int) -> Any:
        return total / count if count else float('nan')

    def get(self) -> tuple[Any, Any]:
        """Name and value."""
        return self.name, self._value(self.sum_metric, self.num_inst)

    def get_global(self) -> tuple[Any, Any]:
        """Name and value since `reset`."""
        if not self._has_global_stats:
            return self.get()
        return self.name, self._value(self.global_sum_metric, self.global_num_inst)

    def get_name_value(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return _pairs(self.get())

    def get_global_name_value(self) -> list[tuple[str, Any]]:
        """Names and values since `reset`."""
        return _pairs(self.get_global())


def _pairs(found: tuple[Any, Any]) -> list[tuple[str, Any]]:
    name, value = found
    names, values = (each if isinstance(each, list) else [each] for each in (name, value))
    return list(zip(names, values))


def register(klass: Any, *names: str) -> Any:
    """Make a metric known by its class's name."""
    for name in (klass.__name__, *names):
        _REGISTRY[name.lower()] = klass
    return klass


def alias(*names: str) -> Callable[[Any], Any]:
    """Make a metric known by further names."""
    return lambda klass: register(klass, *names)


def create(metric: Any, *args: Any, **kwargs: Any) -> EvalMetric:
    """A metric from a name, a function, a list of them, or itself."""
    if isinstance(metric, list):
        composite = CompositeEvalMetric()
        for each in metric:
            composite.add(create(each, *args, **kwargs))
        return composite
    if isinstance(metric, str):
        if metric.lower() not in _REGISTRY:
            raise ValueError('the metric must be one of %s, got %r'
                             % (', '.join(sorted(_REGISTRY)), metric))
        made: EvalMetric = _REGISTRY[metric.lower()](*args, **kwargs)
        return made
    if hasattr(metric, 'update') and hasattr(metric, 'get'):
        return metric  # type: ignore[no-any-return]
    if callable(metric):
        return CustomMetric(metric, *args, **kwargs)
    raise TypeError('metric must be a name, a function, a metric or a list of them, got %r'
                    % (metric,))


@alias('composite')
class CompositeEvalMetric(EvalMetric):
    """Several metrics as one."""

    def __init__(self, metrics: Any = None, name: str = 'composite', output_names: Any = None,
                 label_names: Any = None) -> None:
        self.metrics = [create(each) for each in metrics or ()]
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def add(self, metric: Any) -> None:
        """Add a metric."""
        self.metrics.append(create(metric))

    def get_metric(self, index: int) -> EvalMetric:
        """The metric at a place."""
        return self.metrics[index]

    def update_dict(self, label: dict[Any, Any], pred: dict[str, Any]) -> None:
        if self.label_names is not None:
            label = {name: each for name, each in label.items() if name in self.label_names}
        if self.output_names is not None:
            pred = {name: each for name, each in pred.items() if name in self.output_names}
        for metric in self.metrics:
            metric.update_dict(label, pred)

    def update(self, labels: Any, preds: Any) -> None:
        for metric in self.metrics:
            metric.update(labels, preds)

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()

    def reset_local(self) -> None:
        for metric in self.metrics:
            metric.reset_local()

    def _joined(self, pairs: Iterable[list[tuple[str, Any]]]) -> tuple[list[str], list[Any]]:
        flat = [pair for each in pairs for pair in each]
        return [name for name, _ in flat], [value for _, value in flat]

    def get(self) -> tuple[Any, Any]:
        return self._joined(metric.get_name_value() for metric in self.metrics)

    def get_global(self) -> tuple[Any, Any]:
        return self._joined(metric.get_global_name_value() for metric in self.metrics)


class CustomMetric(EvalMetric):
    """A function of a label and a prediction, as NumPy arrays, gives the value."""

    def __init__(self, feval: Callable[..., Any], name: str | None = None,
                 allow_extra_outputs: bool = False, output_names: Any = None,
                 label_names: Any = None) -> None:
        if name is None:
            name = feval.__name__
            if '<' in name:  # a lambda has no name of its own
                name = 'custom(%s)' % name
        self._feval, self._allow_extra_outputs = feval, allow_extra_outputs
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels: Any, preds: Any) -> None:
        if not self._allow_extra_outputs:
            check_label_shapes(labels, preds)
        for pred, label in zip(preds, labels):
            value = self._feval(array(label), array(pred))
            self._add(*(value if isinstance(value, tuple) else (value, 1)))


def np(numpy_feval: Callable[..., Any], name: str | None = None,
       allow_extra_outputs: bool = False) -> CustomMetric:
    """A metric of a function of NumPy arrays."""
    def feval(label: Any, pred: Any) -> Any:
        return numpy_feval(label, pred)
    feval.__name__ = numpy_feval.__name__
    return CustomMetric(feval, name, allow_extra_outputs)
