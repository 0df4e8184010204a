"""How many modules of interop somebody reads who follows an export: those in which a function runs
for the language model of MXNet's examples. Modules that are only imported, the ground floors
(`_graph`) and the check do not count."""
import sys
from pathlib import Path

import pytest

from mxrnn import interop

from .test_programs_leave import model_of

HOUSE = Path(interop.__file__).parent


@pytest.mark.parametrize('export, ending, most', [
    (interop.to_onnx, '.onnx', 12), (interop.to_source, '.py', 22)], ids=['onnx', 'source'])
def test_an_export_is_in_few_rooms(export, ending, most, tmp_path):
    found, model = set(), model_of('lstm_bucketing')[1]

    def enter(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if HOUSE in path.parents and frame.f_code.co_name != '<module>':
            found.add('.'.join(path.relative_to(HOUSE).with_suffix('').parts))
    before = sys.gettrace()
    sys.settrace(enter)
    try:
        export(model, str(tmp_path / ('m' + ending)), check=False)
    finally:
        sys.settrace(before)
    assert len(found) <= most, sorted(found)
