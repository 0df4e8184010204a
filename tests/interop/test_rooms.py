"""How many modules of interop somebody reads who follows an export."""
import pytest

from mxrnn import interop

from .rooms import rooms


@pytest.mark.parametrize('export, ending, most', [
    (interop.to_onnx, '.onnx', 12), (interop.to_source, '.py', 22)], ids=['onnx', 'source'])
def test_an_export_is_in_few_rooms(export, ending, most):
    found = rooms(export, 'lstm_bucketing', ending)
    assert len(found) <= most, found
