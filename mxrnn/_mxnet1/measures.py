"""MXNet 1's metrics, under its names and with its meanings."""
from __future__ import annotations

import math
from typing import Any

import mxnet as mx
import numpy as np

from .metric import EvalMetric, alias, array, check_label_shapes

__all__ = ['Accuracy', 'CrossEntropy', 'F1', 'Loss', 'MAE', 'MSE', 'NegativeLogLikelihood',
           'PearsonCorrelation', 'Perplexity', 'RMSE', 'TopKAccuracy']


class _Counted(EvalMetric):
    """A metric of labels and predictions, pair by pair."""

    #: The name by default.
    _title: str

    def __init__(self, name: str | None = None, output_names: Any = None,
                 label_names: Any = None, **kwargs: Any) -> None:
        super().__init__(name or self._title, output_names, label_names, has_global_stats=True,
                         **kwargs)

    def update(self, labels: Any, preds: Any) -> None:
        labels, preds = check_label_shapes(labels, preds, wrap=True)
        for label, pred in zip(labels, preds):
            self._add(*self._count(label, pred))

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        """Return the share of a pair in the sum and in the count."""
        raise NotImplementedError


@alias('acc')
class Accuracy(_Counted):
    """The share of predictions, the largest along `axis`, that equal their labels."""

    _title = 'accuracy'

    def __init__(self, axis: int = 1, name: str | None = None, output_names: Any = None,
                 label_names: Any = None) -> None:
        self.axis = axis
        super().__init__(name, output_names, label_names, axis=axis)

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        if pred.shape != label.shape:
            pred = mx.nd.argmax(pred, axis=self.axis)
        pred, label = (array(each).astype('int32').ravel() for each in (pred, label))
        check_label_shapes(label, pred, shape=True)
        return float((pred == label).sum()), len(pred)


@alias('top_k_accuracy', 'top_k_acc')
class TopKAccuracy(_Counted):
    """The share of labels that are among the `top_k` largest predictions."""

    _title = 'top_k_accuracy'

    def __init__(self, top_k: int = 1, name: str = 'top_k_accuracy', output_names: Any = None,
                 label_names: Any = None) -> None:
        if top_k < 2:
            raise ValueError('top_k must be at least 2, got %r: Accuracy is for 1' % top_k)
        self.top_k = top_k
        super().__init__('%s_%d' % (name, top_k), output_names, label_names, top_k=top_k)

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        scores = array(pred).astype('float32')
        label = array(label).astype('int32').ravel()
        if scores.ndim == 1:
            return float((np.argsort(scores) == label).sum()), len(label)
        k = min(self.top_k, scores.shape[1])
        best = np.argpartition(scores, -k)[:, scores.shape[1] - k:]
        return float((best == label[:, None]).sum()), len(label)


@alias()
class F1(_Counted):
    """The F1 score of two classes; of each batch and averaged, or ('micro') of all."""

    _title = 'f1'

    def __init__(self, name: str = 'f1', output_names: Any = None, label_names: Any = None,
                 average: str = 'macro') -> None:
        self.average = average
        super().__init__(name, output_names, label_names)

    def reset(self) -> None:
        super().reset()
        self._counts = np.zeros(3)  # right positives, wrong positives, wrong negatives

    def reset_local(self) -> None:
        super().reset_local()
        self._counts = np.zeros(3)

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        label = array(label).astype('int32').ravel()
        guess = np.argmax(array(pred), axis=1)
        if len(np.unique(label)) > 2:
            raise ValueError('F1 is for two classes')
        counts = np.array([((guess == 1) & (label == 1)).sum(),
                              ((guess == 1) & (label == 0)).sum(),
                              ((guess == 0) & (label == 1)).sum()], dtype=float)
        if self.average != 'macro':
            self._counts += counts
            score = self._score(self._counts)
            count = len(label)
            return score * (self.num_inst + count) - self.sum_metric, count
        return self._score(counts), 1

    @staticmethod
    def _score(counts: Any) -> float:
        right, wrong, missed = counts
        return 2 * right / (2 * right + wrong + missed) if right else 0.


@alias()
class Perplexity(_Counted):
    """exp of the mean -log of the probabilities of labels, without those of `ignore_label`."""

    _title = 'perplexity'

    def __init__(self, ignore_label: int | None, axis: int = -1, name: str = 'perplexity',
                 output_names: Any = None, label_names: Any = None) -> None:
        self.ignore_label, self.axis = ignore_label, axis
        super().__init__(name, output_names, label_names, ignore_label=ignore_label)

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        classes = pred.shape[-1]
        if label.size != pred.size / classes:
            raise ValueError('labels of shape %s do not fit predictions of shape %s'
                             % (label.shape, pred.shape))
        label = label.as_in_context(pred.context).reshape((label.size,))
        chosen = mx.nd.pick(pred.reshape((-1, classes)) if pred.ndim > 2 else pred,
                            label.astype('int32'), axis=self.axis)
        count = chosen.size
        if self.ignore_label is not None:
            ignored = label == self.ignore_label
            ignored = ignored.astype(chosen.dtype)
            count -= int(mx.nd.sum(ignored).asscalar())
            chosen = chosen * (1 - ignored) + ignored
        return -float(mx.nd.sum(mx.nd.log(mx.nd.maximum(1e-10, chosen))).asscalar()), count

    def _value(self, total: float, count: int) -> Any:
        return math.exp(total / count) if count else float('nan')


class _Mean(_Counted):
    """The mean over batches of a distance."""

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        label, pred = (each.reshape(-1, 1) if each.ndim == 1 else each
                       for each in (array(label), array(pred)))
        return self._distance(label - pred), 1

    def _distance(self, difference: Any) -> Any:
        raise NotImplementedError


@alias()
class MAE(_Mean):
    """The mean absolute error."""

    _title = 'mae'

    def _distance(self, difference: Any) -> Any:
        return np.abs(difference).mean()


@alias()
class MSE(_Mean):
    """The mean squared error."""

    _title = 'mse'

    def _distance(self, difference: Any) -> Any:
        return (difference ** 2.0).mean()


@alias()
class RMSE(_Mean):
    """The root of the mean squared error."""

    _title = 'rmse'

    def _distance(self, difference: Any) -> Any:
        return np.sqrt((difference ** 2.0).mean())


@alias('ce', 'cross-entropy')
class CrossEntropy(_Counted):
    """The mean -log of the probabilities of labels."""

    _title = 'cross-entropy'

    def __init__(self, eps: float = 1e-12, name: str | None = None, output_names: Any = None,
                 label_names: Any = None) -> None:
        self.eps = eps
        super().__init__(name, output_names, label_names, eps=eps)

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        label, pred = array(label).ravel(), array(pred)
        if len(label) != len(pred):
            raise ValueError('%d labels do not fit %d predictions' % (len(label), len(pred)))
        chosen = pred[np.arange(len(label)), label.astype('int64')]
        return (-np.log(chosen + self.eps)).sum(), len(label)


@alias('nll_loss', 'nll-loss')
class NegativeLogLikelihood(CrossEntropy):
    """The same under another name."""

    _title = 'nll-loss'


@alias('pearsonr')
class PearsonCorrelation(_Counted):
    """The correlation of each batch, averaged."""

    _title = 'pearsonr'

    def _count(self, label: Any, pred: Any) -> tuple[Any, int]:
        check_label_shapes(label, pred, shape=True)
        return np.corrcoef(array(pred).ravel(), array(label).ravel())[0, 1], 1


@alias()
class Loss(EvalMetric):
    """The mean of the outputs, which are losses."""

    def __init__(self, name: str = 'loss', output_names: Any = None,
                 label_names: Any = None) -> None:
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels: Any, preds: Any) -> None:
        for pred in preds if isinstance(preds, (list, tuple)) else [preds]:
            self._add(float(mx.nd.sum(pred).asscalar()), pred.size)
