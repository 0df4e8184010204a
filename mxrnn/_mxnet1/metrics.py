"""MXNet 1's metrics, with its names and meanings."""
from __future__ import annotations

import math
from typing import Any, Callable, TypeVar

import numpy as np

from . import mx
from .metric_base import Arrays, EvalMetric, Names, alias, array, check_label_shapes

__all__ = ['Accuracy', 'CrossEntropy', 'F1', 'Loss', 'MAE', 'MCC', 'MSE', 'NegativeLogLikelihood',
           'PCC', 'PearsonCorrelation', 'Perplexity', 'RMSE', 'TopKAccuracy']

_Kind = TypeVar('_Kind', bound='_Measure')


def _known_as(title: str, *names: str) -> Callable[[type[_Kind]], type[_Kind]]:
    """Give a metric a default name, and register it under that, its class's name and others."""
    def decorate(kind: type[_Kind]) -> type[_Kind]:
        kind._title = title
        return alias(*{kind.__name__.lower(), title, *names})(kind)
    return decorate


class _Measure(EvalMetric):
    """A metric of labels and predictions, pair by pair."""

    _title: str
    #: The contribution of a label and a prediction to the sum and the count.
    _count: Callable[[mx.nd.NDArray, mx.nd.NDArray], tuple[float, int]]

    def __init__(self, name: str | None = None, output_names: Names = None,
                 label_names: Names = None, **kwargs: object) -> None:
        super().__init__(name or self._title, output_names, label_names, has_global_stats=True,
                         **kwargs)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        for label, pred in zip(*check_label_shapes(labels, preds, wrap=True)):
            self._add(*self._count(label, pred))


def _counted(metric: mx.gluon.metric.EvalMetric, label: mx.nd.NDArray, pred: mx.nd.NDArray
             ) -> tuple[float, int]:
    """The result of a new MXNet 2 metric for a label and a prediction."""
    metric.update([label.as_np_ndarray()], [pred.as_np_ndarray()])
    return float(metric.sum_metric), int(metric.num_inst)


@_known_as('accuracy', 'acc')
class Accuracy(_Measure):
    """The share of predictions, the largest along `axis`, that equal their labels."""

    def __init__(self, axis: int = 1, *args: Any, **kwargs: Any) -> None:
        self.axis = axis
        super().__init__(*args, axis=axis, **kwargs)

    def _count(self, label: mx.nd.NDArray, pred: mx.nd.NDArray) -> tuple[float, int]:
        return _counted(mx.gluon.metric.Accuracy(self.axis), label, pred)


@_known_as('top_k_accuracy', 'top_k_acc')
class TopKAccuracy(_Measure):
    """The share of labels that are among the `top_k` largest predictions."""

    def __init__(self, top_k: int = 1, *args: Any, **kwargs: Any) -> None:
        if top_k < 2:
            raise ValueError('top_k must be at least 2, got %r: use Accuracy for 1' % top_k)
        self.top_k = top_k
        super().__init__(*args, top_k=top_k, **kwargs)
        self.name += '_%d' % top_k

    def _count(self, label: mx.nd.NDArray, pred: mx.nd.NDArray) -> tuple[float, int]:
        return _counted(mx.gluon.metric.TopKAccuracy(self.top_k), label, pred)


class _Confusion(_Measure):
    """A score from counts of how often each class is predicted for each class."""

    #: The score of such counts, by prediction and label.
    _score: Callable[[np.ndarray], float]

    def reset(self) -> None:
        super().reset()
        self._counts = self._all = np.zeros((2, 2))

    def reset_local(self) -> None:
        super().reset_local()
        self._counts = np.zeros((2, 2))

    def _rescore(self, counts: np.ndarray, number: int) -> None:
        """Score all counts, of which `number` are new."""
        self._counts, self._all = (
            counts + np.pad(each, (0, len(counts) - len(each)), 'constant')
            for each in (self._counts, self._all))
        self.num_inst, self.global_num_inst = self.num_inst + number, self.global_num_inst + number
        self.sum_metric = self._score(self._counts) * self.num_inst
        self.global_sum_metric = self._score(self._all) * self.global_num_inst


class _Binary(_Confusion):
    """A score for two classes: of each update and averaged, or of all (average='micro')."""

    def __init__(self, name: str | None = None, output_names: Names = None,
                 label_names: Names = None, average: str = 'macro') -> None:
        self.average = average
        super().__init__(name, output_names, label_names)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        counts = np.zeros((2, 2))
        for label, pred in zip(*check_label_shapes(labels, preds, wrap=True)):
            truth = array(label).astype('int32').ravel()
            if len(np.unique(truth)) > 2:
                raise ValueError('%s is for two classes' % type(self).__name__)
            guess = np.argmax(array(pred), axis=1)
            np.add.at(counts, tuple((each == 1).astype(int) for each in (guess, truth)), 1)
        if self.average == 'macro':
            self._add(self._score(counts), 1)
        else:
            self._rescore(counts, int(counts.sum()))


@_known_as('f1')
class F1(_Binary):
    """The F1 score."""

    def _score(self, counts: np.ndarray) -> float:
        (_, missed), (wrong, right) = counts
        return float(2 * right / (2 * right + wrong + missed)) if right else 0.


@_known_as('mcc')
class MCC(_Binary):
    """The correlation coefficient of Matthews."""

    def _score(self, counts: np.ndarray) -> float:
        sums = np.concatenate([counts.sum(0), counts.sum(1)])
        return float((counts[0, 0] * counts[1, 1] - counts[0, 1] * counts[1, 0])
                     / math.sqrt(np.prod(sums[sums > 0])))


@_known_as('pcc')
class PCC(_Confusion):
    """The same for any number of classes, over all updates."""

    def update(self, labels: Arrays, preds: Arrays) -> None:
        for label, pred in zip(*check_label_shapes(labels, preds, wrap=True)):
            truth, guess = array(label).astype('int32'), array(pred)
            guess = guess.argmax(axis=1) if guess.shape != truth.shape else guess.astype('int32')
            classes = max(guess.max() + 1, truth.max() + 1, len(self._all))
            counts = np.zeros((classes, classes))
            np.add.at(counts, (guess.ravel(), truth.ravel()), 1)
            self._rescore(counts, 0)
        self._rescore(np.zeros_like(self._all), 1)

    def _score(self, counts: np.ndarray) -> float:
        total, guesses, labels = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
        spread = (guesses * (total - guesses)).sum() * (labels * (total - labels)).sum()
        covariance = (counts.diagonal() * total - guesses * labels).sum()
        return float(covariance / math.sqrt(spread)) if spread else float('nan')


@_known_as('perplexity')
class Perplexity(_Measure):
    """exp of the mean -log of the labels' probabilities, without `ignore_label`."""

    def __init__(self, ignore_label: int | None, axis: int = -1, *args: Any, **kwargs: Any
                 ) -> None:
        self.ignore_label, self.axis = ignore_label, axis
        super().__init__(*args, ignore_label=ignore_label, axis=axis, **kwargs)

    def _count(self, label: mx.nd.NDArray, pred: mx.nd.NDArray) -> tuple[float, int]:
        if label.size != pred.size / pred.shape[-1]:
            raise ValueError('labels of shape %s do not fit predictions of shape %s'
                             % (label.shape, pred.shape))
        entropy = mx.gluon.metric.CrossEntropy(1e-10, self.ignore_label, self.axis)
        return _counted(entropy, label, pred if pred.ndim < 3 else pred.reshape(
            (-1, pred.shape[-1])))

    def _value(self, total: float, count: int) -> float:
        return math.exp(total / count) if count else float('nan')


class _Mean(_Measure):
    """The mean of a distance over batches."""

    #: The distance, from the differences.
    _distance: Callable[[np.ndarray], float]

    def _count(self, label: mx.nd.NDArray, pred: mx.nd.NDArray) -> tuple[float, int]:
        truth, guess = (each.reshape(-1, 1) if each.ndim == 1 else each
                        for each in (array(label), array(pred)))
        return float(self._distance(truth - guess)), 1


@_known_as('mae')
class MAE(_Mean):
    """The mean absolute error."""

    def _distance(self, difference: np.ndarray) -> float:
        return np.abs(difference).mean()


@_known_as('mse')
class MSE(_Mean):
    """The mean squared error."""

    def _distance(self, difference: np.ndarray) -> float:
        return (difference ** 2.0).mean()


@_known_as('rmse')
class RMSE(_Mean):
    """The root of the mean squared error."""

    def _distance(self, difference: np.ndarray) -> float:
        return np.sqrt((difference ** 2.0).mean())


@_known_as('cross-entropy', 'ce')
class CrossEntropy(_Measure):
    """The mean -log of the labels' probabilities."""

    def __init__(self, eps: float = 1e-12, *args: Any, **kwargs: Any) -> None:
        self.eps = eps
        super().__init__(*args, eps=eps, **kwargs)

    def _count(self, label: mx.nd.NDArray, pred: mx.nd.NDArray) -> tuple[float, int]:
        truth, guess = array(label).ravel().astype('int64'), array(pred)
        if len(truth) != len(guess):
            raise ValueError('%d labels do not fit %d predictions' % (len(truth), len(guess)))
        chosen = guess[np.arange(len(truth)), truth]
        return float(-np.log(chosen + self.eps).sum()), len(truth)


@_known_as('nll-loss', 'nll_loss')
class NegativeLogLikelihood(CrossEntropy):
    """The same under another name."""


@_known_as('pearsonr')
class PearsonCorrelation(_Measure):
    """The correlation of each batch, averaged."""

    def _count(self, label: mx.nd.NDArray, pred: mx.nd.NDArray) -> tuple[float, int]:
        check_label_shapes(label, pred, shape=True)
        return float(np.corrcoef(array(pred).ravel(), array(label).ravel())[0, 1]), 1


@_known_as('loss')
class Loss(_Measure):
    """The mean of the outputs, which are losses."""

    def update(self, labels: Arrays, preds: Arrays) -> None:
        for pred in [preds] if isinstance(preds, mx.nd.NDArray) else preds:
            self._add(float(mx.nd.sum(pred).asscalar()), pred.size)
