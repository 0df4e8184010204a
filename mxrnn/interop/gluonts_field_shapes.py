"""Shapes of the fields that a transformation of GluonTS makes, as far as its JSON tells them."""
from __future__ import annotations

from typing import Any, Iterator

__all__ = ['shapes_of_fields']

#: Steps that leave the sizes of the fields that they take as they are.
_SAME_SIZES = frozenset('''AsNumpyArray CDFtoGaussianTransform Identity ListFeatures QuantizeScaled
    RemoveFields SampleTargetDim SelectFields SetField SetFieldIfNotPresent TargetDimIndicator
    '''.split())


def shapes_of_fields(transform: Any, prediction_length: int) -> dict[str, tuple[int, ...]]:
    """By field, its shape for a batch of series; 0 is the batch, or a size that is not told.

    Parameters
    ----------
    transform
        The JSON of ``input_transform.json``.
    prediction_length : int

    Raises
    ------
    KeyError, TypeError, AttributeError, RecursionError
        It has a step that is not known here, or names its parts in another way.
    """
    axes = {'target': 2}
    widths: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, given in _steps(transform):
        made = given.get('output_field', given.get('field', ''))
        if name == 'SetField' and isinstance(given.get('value'), list):
            shapes[made] = 0, len(given['value'])
        elif name == 'AsNumpyArray' and given['expected_ndim'] > 1:
            axes[made] = 3
        elif name in ('AddAgeFeature', 'AddConstFeature'):
            widths[made] = 1
        elif name == 'AddTimeFeatures':
            widths[made] = sum(1 + ('Fourier' in each['class']) for each in given['time_features'])
        elif name == 'VstackFeatures':
            parts = [widths.get(each, 0) for each in given['input_fields']]
            widths[made] = sum(parts) if all(parts) else 0
        elif name == 'AddObservedValuesIndicator':
            axes[made] = axes.get(given['target_field'], 2)
        elif name == 'RenameFields':
            for old, new in given['mapping'].items():
                widths[new] = widths.get(old, 0)
                shapes[new] = shapes.get(old, ())
        elif name == 'InstanceSplitter':
            shapes['past_' + given['is_pad_field']] = 0, given['past_length']
            for start, steps in (('past_', given['past_length']), ('future_', min(
                    given['future_length'], prediction_length))):
                for each in (given['target_field'], *given['time_series_fields']):
                    shape = 0, steps, widths.get(each, 0)
                    shapes[start + each] = shape[:axes.get(each, 3)] if given['output_NTC'] or (
                        axes.get(each) == 2) else (0, shape[2], steps)
        elif name == 'ForkingSequenceSplitter':
            past = given['enc_len']
            for each in (given['target_field'], *given['encoder_series_fields']):
                shapes['past_' + each] = 0, past, widths.get(each, 0)
            for each in given['decoder_series_fields']:
                width = widths.get(each, 0)
                if width:  # one feature has no axis of its own
                    shapes['future_' + each] = (0, given.get('num_forking') or past,
                                                given['dec_len'], width)[:3 + (width > 1)]
        elif name not in _SAME_SIZES and not (
                name == 'ExpandDimArray' and given.get('axis') is None):
            raise KeyError(name)
    return shapes


def _steps(transform: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of a transformation's classes and their arguments, in order."""
    given = transform['kwargs']
    parts = given.get('transformations', given.get('trans'))
    if parts is None:
        yield transform['class'].rpartition('.')[2], given
    for each in parts or ():
        yield from _steps(each)
