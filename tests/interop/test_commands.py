"""The commands export, inspect and compare."""
import argparse
import contextlib
import io
import json
import os
import re
import shlex
import sys
import time
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._model_commands import add_commands, run_command
from mxrnn._runtime.symbol_graph import graph_of
from mxrnn.interop.check.compare import compare
from mxrnn.interop.check.random_inputs import data_for
from mxrnn.interop.run.onnx_file import open_file

from .. import mx, rnn
from ..processes import printed, python
from .models import S, V, over, random_model
from .programs import stack

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
torch = pytest.importorskip('torch')

WORDS = 11


def network(length=None):
    """A language model, and its cell."""
    cell = rnn.fuse(stack(rnn.LSTMCell(6, 'lstm_l0_'), rnn.LSTMCell(6, 'lstm_l1_')))
    data = S.Embedding(V('data'), input_dim=WORDS, output_dim=5, name='embed')
    scores = S.FullyConnected(S.reshape(over(cell, length, data), shape=(-3, -2)), num_hidden=WORDS,
                              name='scores')
    label = S.reshape(V('softmax_label'), shape=(-1,))
    return S.SoftmaxOutput(scores, label, name='softmax'), cell


def save(prefix, symbol, cell, shapes):
    sizes = dict(zip(symbol.list_arguments(), symbol.infer_shape(**shapes)[0]))
    args = {name: mx.nd.array(np.random.uniform(-0.5, 0.5, shape)) for name, shape in sizes.items()
            if name not in shapes}
    rnn.save_rnn_checkpoint(cell, str(prefix), 4, symbol, args, {})


@pytest.fixture
def prefix(tmp_path):
    """The prefix of a checkpoint of the rnn functions, weights by gate."""
    save(tmp_path / 'days', *network(), {'data': (2, 3), 'softmax_label': (2, 3)})
    return str(tmp_path / 'days')


def command(*arguments):
    """The status of a command."""
    words = [str(each) for each in arguments]
    parser = argparse.ArgumentParser(prog='python -m mxrnn')
    add_commands(parser.add_subparsers(dest='command'), words)
    return run_command(parser.parse_args(words))


def told(*arguments, status=0):
    """What a command says, which must end with this status: errors where that is 2."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        assert command(*arguments) == status
    return (error if status == 2 else out).getvalue()


def told_in_a_line(*arguments, status=0):
    """The same without the breaks of its lines."""
    return ' '.join(told(*arguments, status=status).split())


@pytest.mark.parametrize('words, said', [
    ('export days --onxn a.onnx', 'there is no option --onxn; did you mean --onnx?'),
    ('export days days.onnx', "got 'days.onnx': type --onnx days.onnx\n"),
    ('export days --onnx=days.onnx --zzz', 'there is no option --zzz\n'),
    ('compare days 4 a.onnx --inptu=data=2', 'there is no option --inptu; did you mean --input?'),
    ('compare days 4 a.onnx --foo -- --bar', 'there is no option --foo\n'),
    ('export --symbol a', 'error: the following arguments are required: --params\n'),
    ('export days --symbol a --params b', 'arguments: days; --symbol and --params replace PREFIX'),
    ('export days --onnx days.onnx --input data=2 label=2',
     'unrecognized arguments: label=2; write --input before each: --input label=2'),
    ('export days --onnx days.onnx --input data 8,20', 'arguments: 8,20; write --input data=8,20'),
    ('exprot days', 'there is no command exprot; did you mean export?'),
    ('old.py', 'there is no command old.py; did you mean run old.py?'),
    ('xyz', 'there is no command xyz. These are there: run, enable, disable, export, inspect, '),
    ('--relpace enable', 'there is no option --relpace')])
def test_an_option_that_there_is_not_is_named(words, said, monkeypatch, capsys):
    from mxrnn import __main__
    monkeypatch.setattr(sys, 'argv', ['mxrnn', *words.split()])
    with pytest.raises(SystemExit) as exit:
        __main__.main()
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.startswith('error: ') and error.count('\n') == 1
    assert said in error


def test_export_and_compare(prefix, tmp_path):
    path = tmp_path / 'days.onnx'
    lines = told('export', prefix, '--onnx', path).splitlines()
    assert len(lines) <= 6 and lines[:2] == [
        '%s: %d bytes, of epoch 4, the newest' % (path, os.path.getsize(path)),
        'inputs:     data=batch,time']
    lines = told('compare', prefix, 4, path, '--input', 'data=8,20').splitlines()
    assert lines[:2] == ['checkpoint in MXNet', 'data: data (8, 20)']
    assert lines[2].split()[1] == 'softmax_output' and 0 <= float(lines[2].split()[0]) < 1e-5
    assert lines[3] == 'within the tolerance of 1e-05'
    np.savez(tmp_path / 'data.npz', data=np.arange(6).reshape(2, 3))
    assert 'data: data (2, 3)' in told('compare', prefix, 4, path, '--data', tmp_path / 'data.npz')


def test_the_two_files_may_have_any_names(prefix, tmp_path):
    folder, path = tmp_path / 'sockeye', tmp_path / 'days.onnx'
    folder.mkdir()
    os.rename(prefix + '-symbol.json', folder / 'symbol.json')
    os.rename(prefix + '-0004.params', folder / 'params.best')
    files = ['--symbol', folder / 'symbol.json', '--params', folder / 'params.best']
    assert '--symbol %s --params %s --onnx model.onnx\n' % tuple(files[1::2]) in (
        told('export', *files, status=2))
    assert command('export', *files, '--onnx', path) == 0
    assert command('compare', path, *files) == 0
    assert 'within the tolerance' in told('compare', folder, path)
    assert told('inspect', *files).startswith('written by:')
    assert ' %s --source sockeye_model.py\n' % folder in told('export', folder, status=2)


def test_source(prefix, tmp_path):
    path = tmp_path / 'days.py'
    said = told('export', prefix, '--source', path)
    lines = said.splitlines()
    sizes = ['%s: %d bytes' % (each, os.path.getsize(each)) for each in (
        path, tmp_path / 'days.pt')]
    assert len(lines) <= 6 and lines[0] == ', '.join(sizes) + ', of epoch 4, the newest'
    text = ' '.join(path.read_text(encoding='utf-8').split())
    sentence = r'hecked: equal to the checkpoint in MXNet to \S+ \(3 sizes; \d+ gradients\)'
    assert all(re.search(sentence, each) for each in (' '.join(said.split()), text))
    model = interop.load(prefix)
    state = torch.load(tmp_path / 'days.pt', weights_only=True)
    again = interop.from_source({key: 2 * value for key, value in state.items()}, model)
    assert all((again.arg_params[name] == 2 * array).all()
               for name, array in model.arg_params.items())
    assert 'note:       import takes no name such as my-model' in told(
        'export', prefix, '--source', tmp_path / 'my-model.py')
    before = os.listdir(tmp_path)
    assert command('export', prefix, '--source', tmp_path / 'other.onnx') == 2
    assert 'leave out --as-is' in told(
        'export', prefix, '--source', tmp_path / 'other.py', '--as-is', status=2)
    assert os.listdir(tmp_path) == before
    (checked,) = [line for line in told('export', prefix, '--source', path, '--states').splitlines()
                  if line.startswith('checked:')]
    assert checked.startswith('checked:    whole and in chunks, equal to the checkpoint in MXNet')
    assert 'def steps(' in path.read_text(encoding='utf-8')


@pytest.mark.parametrize('option, end', [('--onnx', 'onnx'), ('--plot', 'svg')])
def test_no_file_of_a_checkpoint_is_written_over(prefix, tmp_path, monkeypatch, option, end):
    monkeypatch.chdir(tmp_path)
    for name in ('days-0004.states', 'days-0004.batch-0010.part-0001', 'train.py'):
        (tmp_path / name).write_bytes(b'mine')
    link = tmp_path / ('link.' + end)
    link.symlink_to('days-0004.params')
    names = sorted(each.name for each in tmp_path.iterdir())
    assert {'days-symbol.json', 'days-0004.params'} < set(names)
    before = {name: (tmp_path / name).read_bytes() for name in names}
    new = ['other-symbol.json', 'other-0001.PARAMS']
    words = ['inspect', prefix] if option == '--plot' else ['export', prefix]
    for name in names + new:
        assert '%s must ' % option in told(*words, option, name, status=2), name
    model = interop.load(prefix)
    for name in [*names, *new]:
        if name == 'train.py':
            continue
        with pytest.raises(ValueError, match='path must not be the name of a file of a checkpoint'):
            interop.to_onnx(model, name)
    assert before == {each.name: each.read_bytes() for each in tmp_path.iterdir()}


def refused(*words):
    """What a command says that must not change a file beside its target."""
    folder = Path(words[-1]).parent
    before = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    said = told(*words, status=2)
    assert before == {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    return said


def other_model(tmp_path, units=6, name='l_'):
    """The prefix of a checkpoint with the input and the output of `network`."""
    words = S.Embedding(V('data'), input_dim=WORDS, output_dim=5, name='embed')
    scores = S.FullyConnected(over(rnn.LSTMCell(units, name), 3, words), num_hidden=WORDS,
                              flatten=False, name='scores')
    prefix = tmp_path / ('other_%d_%s' % (units, name))
    save(prefix, S.softmax(scores, name='softmax'), [], {'data': (2, 3)})
    return prefix


ADVICE = ': choose another name, or delete it if nobody needs it\n'


def test_an_onnx_file_replaces_exports_of_its_model_alone(prefix, tmp_path):
    """Every file was replaced."""
    path = tmp_path / 'days.onnx'
    export, foreign = ('export', prefix, '--onnx', path), 'mxrnn did not write it, or it was chang'
    path.write_bytes(b'mine')
    assert foreign in refused(*export)
    path.write_bytes(b'')
    assert command(*export) == 0
    model = interop.load(prefix)
    interop.save(model._replace(arg_params={
        name: array + 1 for name, array in model.arg_params.items()}), prefix, 5)
    for options in (), ('--states',), ('--as-is', '--no-check'), ('--output', 'scores_output'):
        assert command('export', prefix, *options, '--onnx', path) == 0  # a newer epoch
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b'?')
    assert foreign in refused(*export)
    onnx = pytest.importorskip('onnx')
    onnx.save(onnx.load_model_from_string(content), str(path))  # another program wrote it anew
    assert foreign in refused(*export)
    with pytest.raises(ValueError, match=foreign):
        interop.to_onnx(model, path)
    path.write_bytes(content)
    for other in other_model(tmp_path), other_model(tmp_path, 7), other_model(tmp_path, 6, 'lstm_'):
        assert refused('export', other, '--onnx', path) == (
            'error: %s exists, and is an export of another model' % path + ADVICE)


def test_the_file_of_an_encoder_replaces_exports_alone(tmp_path):
    """Every file was replaced."""
    from .test_programs_leave import model_of
    _, model = model_of('encoder_and_decoder')
    prefix, path = str(tmp_path / 'turn'), tmp_path / 'turn.onnx'
    interop.save(model, prefix, 1)
    encoder, export = tmp_path / 'turn-encoder.onnx', ('export', prefix, '--states', '--onnx', path)
    assert command(*export) == 0
    lines = told(*export).splitlines()
    assert len(lines) <= 8 and lines[1] == (
        'inputs:     target=batch,target_time source=batch,source_time; states')
    encoder.write_bytes(b'mine')
    said = refused(*export)
    assert 'turn-encoder.onnx exists, and mxrnn did not write it' in said and said.endswith(ADVICE)
    encoder.unlink()
    assert command('export', other_model(tmp_path), '--onnx', encoder) == 0
    assert 'turn-encoder.onnx exists, and is an export of another model' in refused(*export)


def test_a_source_leaves_what_is_not_its_own(prefix, tmp_path):
    """A program, trained weights and other models stay; a source that is untouched does not."""
    path, weights = tmp_path / 'days.py', tmp_path / 'days.pt'
    export = 'export', prefix, '--source', path
    path.write_text('import mxrnn\n')
    assert 'days_model.py' in refused(*export)
    path.unlink()
    weights.write_bytes(b'mine')
    assert 'days.pt exists, and mxrnn did not write it with days.py, or one' in refused(*export)
    torch.save({'format': 'graph of MXNet with tensors, 1', 'graph': '{}'}, weights)
    assert 'days.pt exists, and mxrnn did not write it with days.py, or one' in refused(*export)
    weights.unlink()
    assert command(*export) == command(*export) == 0
    for other in other_model(tmp_path), other_model(tmp_path, 7):
        assert 'days.py exists, and is an export of another model: choose another name, or' in (
            refused('export', other, '--source', path))
    text = path.read_text(encoding='utf-8')
    path.write_text(text + '# mine\n', encoding='utf-8')
    changed = 'days.py exists, and mxrnn did not write it with days.pt, or one of them was changed'
    assert changed in refused(*export)
    path.write_text(text, encoding='utf-8')
    kept = weights.read_bytes()
    weights.unlink()
    assert changed in refused(*export)
    weights.write_bytes(kept)
    for name in 'torch', 'onnx', 'class':
        assert '%s_model.py' % name in refused('export', prefix, '--source',
                                               tmp_path / (name + '.py'))
    for file in (path, weights):
        for words in ('compare', prefix, 4, file), ('inspect', file), ('export', file):
            why = 'which export already' if words[0] == 'compare' else 'of which mxrnn reads only'
            assert '%s belongs to a source, %s' % (file, why) in refused(*words)
    space = {}
    exec(path.read_text(), space)
    module, model = space['Model'](), interop.load(prefix)
    module.load_state_dict(torch.load(str(weights), weights_only=True))
    again = interop.from_source(module, model)
    assert all((again.arg_params[name] == array).all() for name, array in model.arg_params.items())
    with pytest.raises(TypeError, match='a path, a module or its state dict, got 4'):
        interop.from_source(4, model)
    state = torch.load(str(weights), weights_only=True)
    state[next(iter(state))] += 1
    nested = torch.load(str(weights), weights_only=True)
    nested[next(iter(nested))] = torch.nested.as_nested_tensor([torch.ones(1), torch.ones(2)])
    for saved in (module.state_dict(), dict(module.state_dict()), state, nested, 4):
        torch.save(saved, str(weights))
        assert changed in refused(*export)
    for saved, said in ({**state, 4: None}, ' of the export. not of this source: 4$'), (
            {'bias': 0}, 'missing: embed.weight, .*, …; not of this source: bias$'), (
                nested, 'as a dense tensor of numb'):
        with pytest.raises(ValueError, match=said):
            interop.from_source(saved, interop.load(prefix))
    weights.write_bytes(kept[:-1000])
    assert changed in refused(*export)
    with pytest.raises(ValueError, match=r'days.pt is damaged, or not a file of torch.save\(.*\)$'):
        interop.from_source(weights, model)
    with pytest.raises(FileNotFoundError, match='^cannot read no.pt: No such file or directory$'):
        interop.from_source('no.pt', model)


def test_an_unrolled_checkpoint_is_compared_at_its_own_number_of_steps(tmp_path):
    symbol = S.FullyConnected(S.reshape(over(rnn.LSTMCell(6, 'lstm_'), 4), (-1, 6)), num_hidden=5,
                              name='scores')
    prefix, path = tmp_path / 'a', tmp_path / 'a.onnx'
    save(prefix, symbol, rnn.LSTMCell(6, 'lstm_'), {'data': (2, 4, 3)})
    assert 'data=batch,time,3' in told('export', prefix, '--onnx', path)
    assert 'data: data (2, 4, 3)' in told('compare', prefix, 4, path)
    out = told('compare', prefix, 4, path, '--input', 'data=8,20,3')
    assert out.startswith('checkpoint in MXNet, its graph rewritten, because')
    assert '(8, 20, 3)' in out
    assert 'axis 2 of data must be 3, got 4' in told('compare', prefix, 4, path, '--input',
                                                     'data=8,20,4', status=2)
    assert 'scores_output  TYPE_FP32  [ -1, 5 ]  batch*time x 5' in told('inspect', path)


def test_one_of_two_lengths_that_was_freed_is_compared(tmp_path):
    encoder, decoder = rnn.GRUCell(4, 'encoder_'), rnn.GRUCell(4, 'decoder_')
    _, state = encoder.unroll(3, V('source'), merge_outputs=True, valid_length=V('length'))
    save(tmp_path / 'a', over(decoder, 5, 'target', begin_state=state), [encoder, decoder],
         {'source': (2, 3, 6), 'target': (2, 5, 6), 'length': (2,)})
    prefix, path = tmp_path / 'a', tmp_path / 'a.onnx'
    assert command('export', prefix, '--onnx', path, '--input', 'source=batch,time:3,6') == 0
    assert 'its graph rewritten' in told('compare', prefix, 4, path, '--input', 'source=2,3,6',
                               '--input', 'target=2,4,6')
    assert 'axis 1 of source must be 3, got 7' in told(
        'compare', prefix, 4, path, '--input', 'source=2,7,6', '--input', 'target=2,4,6', status=2)


def test_files_of_torch_are_refused_in_one_line(prefix, tmp_path):
    """Those that hold a graph were read."""
    torch.save({'format': 'graph of MXNet with tensors, 1', 'graph': '{}'}, tmp_path / 'days.pt')
    os.rename(tmp_path / 'days.pt', tmp_path / 'days.bin')
    torch.save({'weight': torch.ones(3)}, tmp_path / 'days.pt')
    for name in 'days.bin', 'days.pt':
        path = tmp_path / name
        for words in (['inspect', path], ['export', path], ['compare', prefix, 4, path],
                      ['export', path, '--onnx', tmp_path / 'a.onnx']):
            said = told(*words, status=2)
            assert said.count('\n') == 1 and str(path) + (
                ' is no ONNX file: compare takes ' if words[0] == 'compare' else
                ' is a file of torch, which mxrnn does not read: name a checkpoint') in said


def rewritten(prefix, change):
    """Change the graph in the file."""
    path = prefix + '-symbol.json'
    with open(path) as file:
        graph = json.load(file)
    change(graph)
    with open(path, 'w') as file:
        json.dump(graph, file)


def test_what_cannot_leave_is_listed_and_not_written(prefix, tmp_path):
    def change(graph):
        for node in graph['nodes']:
            if node['op'] == 'FullyConnected':
                node['op'] = '_contrib_boolean_mask'
    rewritten(prefix, change)
    assert ('ONNX:       no counterpart of _contrib_boolean_mask (1 times: scores)'
            in told('inspect', prefix))
    before = os.listdir(tmp_path)
    for option, name in (('--onnx', 'a.onnx'), ('--source', 'a.py')):
        assert '_contrib_boolean_mask' in told('export', prefix, option, tmp_path / name, status=2)
        assert os.listdir(tmp_path) == before


@pytest.mark.parametrize('divided, at_six', [
    (lambda total, steps: total / steps, '_divscalar0 (_div_scalar) has 6'),
    (lambda total, steps: total * (1 / steps), '_mulscalar0 (_mul_scalar) has 0.166667'),
    (lambda total, steps: S.FullyConnected(total, num_hidden=2) / steps,
     '_divscalar0 (_div_scalar) has 6')])
def test_a_mean_over_a_number_of_steps_keeps_it_and_the_line_says_what_frees_it(
        divided, at_six, tmp_path):
    def mean(steps):
        outputs, _ = rnn.GRUCell(5, 'gru_').unroll(steps, V('data'))
        return divided(S.add_n(*outputs), steps)
    with mx.name.NameManager():
        save(tmp_path / 'a', mean(6), [], {'data': (2, 6, 4)})
    path = tmp_path / 'a.onnx'
    for options in (['inspect'], ['export', '--onnx', path]):
        said = told_in_a_line(options[0], tmp_path / 'a', *options[1:])
        assert 'time: 6, since ' + at_six in said
        assert 'For any: --input data=batch,time:6,4' in said
    assert 'batch, time: any' in told('export', tmp_path / 'a', '--onnx', path, '--input',
                                      'data=batch,time:6,4')
    rows = S.Reshape(S.max(V('data'), axis=1), shape=(2, 4))  # keep the batch beside any steps
    with mx.name.NameManager():
        save(tmp_path / 'b', S.Group([mean(6), rows]), [], {'data': (2, 6, 4)})
    assert 'For any' not in told_in_a_line('inspect', tmp_path / 'b')


def words_of_letters(steps):
    """A tagger that reads each word's letters beside the word."""
    letters = S.Embedding(S.Reshape(V('letters'), shape=(-1, 4)), input_dim=9, output_dim=3)
    spelled = S.Reshape(rnn.LSTMCell(5, 'letter_').unroll(4, letters)[0][-1], shape=(-1, steps, 5))
    words = S.Embedding(V('words'), input_dim=9, output_dim=2)
    return over(rnn.LSTMCell(6, 'word_'), steps, S.Concat(words, spelled, dim=2))


def letters_alone(steps):
    letters = S.Reshape(S.Embedding(V('letters'), input_dim=9, output_dim=3), shape=(-3, 0, 0))
    spelled = rnn.GRUCell(5, 'letter_').unroll(4, letters)[0][-1]
    return over(rnn.LSTMCell(6, 'word_'), steps, S.Reshape(spelled, shape=(-1, steps, 5)))


@pytest.mark.parametrize('program, typed, options', [
    (letters_alone, [], ['letters=batch,letters_1:6,time']),
    (words_of_letters, ['letters=batch,n,4'], ['words=batch,n:6', 'letters=batch,n:6,4']),
    (words_of_letters, ['letters=batch,n:6,4'], ['words=batch,n:6', 'letters=batch,n:6,4']),
    (words_of_letters, ['words=batch,n', 'letters=batch,n,4'],
     ['words=batch,n:6', 'letters=batch,n:6,4'])],
    ids=['a number', 'one of two', 'the number of one', 'both'])
def test_the_number_of_words_is_any_as_is_told(program, typed, options, tmp_path):
    """Axes that must be equal, or that the user gives one name, are one axis."""
    for steps in (6, 9):
        shapes = {'letters': (2, steps, 4), 'words': (2, steps)}
        if program is letters_alone:
            del shapes['words']
        with mx.name.NameManager():
            save(tmp_path / str(steps), program(steps), [], shapes)
    export = ['export', tmp_path / '6', '--onnx', tmp_path / 'a.onnx']
    said = told(*export, *[word for each in typed for word in ('--input', each)],
                status=2 if typed else 0)
    assert re.findall(r'--input (\S*:6\S*)', said) == options
    words = [word for each in options for word in ('--input', each)]
    assert ', since' not in told(*export, *words)
    sizes = [word for name, shape in shapes.items()
             for word in ('--input', '%s=%s' % (name, ','.join(map(str, shape))))]
    told('compare', '--symbol', tmp_path / '9-symbol.json', '--params', tmp_path / '6-0004.params',
         tmp_path / 'a.onnx', *sizes)


def test_parameters_without_a_kind_are_noted(tmp_path):
    """Wolfram's exports have such."""
    graph, weights = tmp_path / 'net.json', tmp_path / 'net.weights'
    S.FullyConnected(V('data'), num_hidden=2, name='fc').save(str(graph))
    mx.nd.save(str(weights), {'fc_weight': mx.nd.ones((2, 3)), 'fc_bias': mx.nd.zeros(2)})
    assert 'without the prefix arg: are taken as arguments: fc_weight, fc_bias' in told_in_a_line(
        'inspect', '--symbol', graph, '--params', weights)


def test_recurrences_with_one_name_are_told_apart_by_their_weights(tmp_path):
    """Programs of 2016 named nodes of a step by hand, so all layers were called t."""
    steps = S.SliceChannel(V('data'), num_outputs=5, squeeze_axis=True)
    states, outputs = [S.zeros((0, 4))] * 2, []
    weights = [[{name: V('l%d_%s_%s' % (layer, what, name))
                 for name in ('weight', 'bias')} for what in 'ih'] for layer in range(2)]
    for t, below in enumerate(steps):
        for layer in range(2):
            both = [S.FullyConnected(each, num_hidden=4, name='t%d_l%d_%d' % (t, layer, at),
                                     **weights[layer][at])
                    for at, each in enumerate((below, states[layer]))]
            below = states[layer] = S.Activation(both[0] + both[1], act_type='tanh',
                                                 name='t%d_l%d' % (t, layer))
        outputs.append(below)
    save(tmp_path / 'a', S.Concat(*outputs), [], {'data': (2, 5, 3)})
    said = told_in_a_line('inspect', tmp_path / 'a')
    assert said.count('recurrence: t, 5 steps') == 2
    assert said.index('(weights l0_…)') < said.index('(weights l1_…)')


def test_export_without_a_format_says_what_to_type(prefix, tmp_path, monkeypatch):
    assert 'there is no %s-*.params' % (tmp_path / 'dyas') in told(
        'export', tmp_path / 'dyas', status=2)
    graph = '%s-symbol.json' % prefix
    no_graph = '. It is either damaged or not a graph such as PREFIX-symbol.json\n'
    assert '4.params is not text' + no_graph in told(
        'inspect', '--params', graph, '--symbol', '%s-0004.params' % prefix, status=2)
    assert '4.params is not text' + no_graph in told(
        'export', prefix, '--onnx', 'a.onnx', '--certify', '%s-0004.params' % prefix, status=2)
    advice = told('export', prefix, 4, status=2)
    lines = [line for line in advice.splitlines() if line.startswith('  python -m mxrnn ')]
    assert len(lines) == 2 and 'Needs onnx, which is installed' in advice
    typed = '--states', '--input', 'data=batch,time', '--output', 'softmax_output'
    assert '%s --input=data=batch,time --output=softmax_output --states --onnx ' % prefix in told(
        'export', prefix, *typed, status=2)
    with monkeypatch.context() as patch:
        patch.setattr('importlib.util.find_spec', lambda name: None)
        assert 'Needs torch, which is not installed: pip install torch\n' in told(
            'export', prefix, 4, status=2)
    for line in lines:
        words = shlex.split(line)[3:]
        assert command(*words) == 0 and os.path.exists(words[-1])


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('stream', [Terminal, io.StringIO])
def test_long_work_is_shown_on_a_terminal_and_in_a_file(prefix, tmp_path, monkeypatch, capsys,
                                                        stream):
    path = tmp_path / 'days.onnx'
    shown = stream()

    def slow(*arguments):
        while ': 0 s' not in shown.getvalue():
            time.sleep(.001)
        return load(*arguments)

    load = interop.load
    monkeypatch.setattr(interop, 'load', slow)
    monkeypatch.setattr('mxrnn._command_output._FIRST', 0)
    monkeypatch.setattr('mxrnn._command_output._IN_FILE', .05)
    monkeypatch.setattr('sys.stderr', shown)
    for words in (['export', prefix, '--onnx', path], ['compare', prefix, path]):
        assert command(*words) == 0
        assert shown.getvalue()[-4:] == '\r\x1b[K' if stream is Terminal else (
            ': 0 s\n' in shown.getvalue())
        shown.seek(0)
        shown.truncate()
    assert ': 0 s' not in capsys.readouterr().out


def test_frames_of_which_the_graph_does_not_tell_the_width_take_any(tmp_path):
    channels = S.Convolution(S.expand_dims(V('data'), axis=1), kernel=(3, 3), pad=(1, 1),
                             num_filter=4, name='conv')
    words = S.Embedding(V('words'), input_dim=9, output_dim=4, name='embed')
    outputs, _ = rnn.GRUCell(5, 'gru_').unroll(
        6, S.swapaxes(S.mean(channels, axis=3), dim1=1, dim2=2) + words)
    save(tmp_path / 'a', outputs[-1], [], {'data': (2, 6, 9), 'words': (2, 6)})
    for option, name in (('--onnx', 'a.onnx'), ('--source', 'b.py')):
        out = told('export', tmp_path / 'a', option, tmp_path / name)
        assert 'batch, time, data_2: any' in out and 'checked:' in out


@pytest.mark.parametrize('options, said', [
    (('--source', './a.onnx'), 'each format needs a file of its own'),
    (('--source', 'c.py', '--as-is'), 'leave out --as-is')])
def test_formats_that_are_refused_leave_the_others_unwritten(options, said, prefix, tmp_path,
                                                             monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in told('export', prefix, '--onnx', 'a.onnx', *options, status=2)
    assert not (tmp_path / 'a.onnx').exists()


def test_the_other_formats_are_written_if_one_cannot_be(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = rnn.GRUCell(4, 'gru_')
    save('a', S.erfinv(over(cell, 3)), cell, {'data': (2, 3, 4)})
    assert command('export', 'a', '--onnx', 'a.onnx', '--source', 'c.py') == 2
    out, error = capsys.readouterr()
    assert error.startswith('error: a.onnx was not written: ONNX does not have erfinv')
    assert 'c.py: ' in out and (tmp_path / 'c.py').exists()


def test_two_formats_say_a_reason_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = rnn.BidirectionalCell(rnn.GRUCell(4, 'l_'), rnn.GRUCell(4, 'r_'))
    save('a', over(cell, 3), cell, {'data': (2, 3, 4)})
    formats = '--onnx', 'a.onnx', '--source', 'c.py', '--states'
    assert told('export', 'a', *formats, status=2).count('without --states') == 1
    save('b', rnn.GRUCell(4, 'g_')(V('data'), [V('h')])[0], [], {'data': (2, 4), 'h': (2, 4)})
    assert told('export', 'b', *formats, status=2).endswith(
        'error: c.py was not written: for the same reason\n')


def test_a_shape_that_is_asked_comes_with_the_reshape_that_reads_the_input(tmp_path):
    data = S.Reshape(V('data'), shape=(-1, 7))
    words, _ = rnn.GRUCell(5, 'w_').unroll(7, S.Embedding(data, input_dim=9, output_dim=4))
    groups = S.Reshape(words[-1], shape=(-1, 4, 5))
    save(tmp_path / 'a', over(rnn.GRUCell(5, 's_'), 4, groups), [], {'data': (2, 4, 7)})
    reads = '(Reshape) makes it (-1, 7)'
    assert reads in refused('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx')
    said = told_in_a_line('inspect', tmp_path / 'a')
    assert 'shapes: the graph takes data' in said and reads in said
    assert command('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--input',
                   'data=batch,4,7') == 0


def test_a_freed_file_is_compared_with_the_graph_of_its_length(tmp_path):
    """The checkpoint's graph was refused without a word on what to do."""
    def last(steps):
        outputs, _ = rnn.GRUCell(5, 'gru_').unroll(steps, V('data'))
        return S.add_n(*outputs, name='total') / steps
    for steps, name in (12, 'a'), (9, 'b'):
        with mx.name.NameManager():
            save(tmp_path / name, last(steps), [], {'data': (2, steps, 1)})
    path, data = tmp_path / 'a.onnx', ('--input', 'data=2,9,1')
    assert command('export', tmp_path / 'a', '--onnx', path, '--input', 'data=batch,time:12,1') == 0
    said = refused('compare', tmp_path / 'a', path, *data)
    assert 'axis 1 of data must be 12, got 9, since' in said
    assert '--symbol OTHER-symbol.json' in said
    other = '--symbol', tmp_path / 'b-symbol.json', '--params', tmp_path / 'a-0004.params'
    for given in data, ():  # at the length of the graph, if none is given
        assert ', 9, 1)\n' in told('compare', *other, path, *given)
    assert ', 12, 1)\n' in told('compare', tmp_path / 'a', path)
    assert command('export', tmp_path / 'a', '--onnx', path) == 0
    assert '--symbol' not in refused('compare', tmp_path / 'a', path, *data)
    assert 'axis 2 of data must be 1, got 2, but data=' in refused(  # not 12, since ...
        'compare', tmp_path / 'a', path, '--input', 'data=2,12,2')


def test_outputs_are_chosen_and_losses_that_onnx_lacks_left_out(tmp_path):
    cell = rnn.LSTMCell(6, 'lstm_')
    scores = S.FullyConnected(over(cell, 3), num_hidden=5, flatten=False, name='scores')
    loss = S.MakeLoss(S.ctc_loss(S.swapaxes(scores, dim1=0, dim2=1), V('label')), name='ctc')
    shapes = {'data': (2, 3, 4), 'label': (2, 2)}
    save(tmp_path / 'a', S.Group([S.softmax(scores, name='chances'), loss]), cell, shapes)
    save(tmp_path / 'b', loss, cell, shapes)
    path = tmp_path / 'a.onnx'
    assert told('export', tmp_path / 'a', '--onnx', path, '--no-check').splitlines()[1:] == [
        'inputs:     data=batch,time,4',
        'batch, time: any',
        'left out:   ctc_output: losses that ONNX does not have']
    with pytest.warns(UserWarning, match='has no output ctc_output'):
        interop.to_onnx(interop.load(tmp_path / 'a'), path)
    export = 'export', tmp_path / 'b', '--onnx', path
    assert 'left out:   ctc_output: ' in told(*export, '--no-check')
    assert 'left out' not in told(*export, '--output', 'scores_output')
    assert ('outputs must name chances_output, ctc_output, or inner nodes, such as '
            'scores_output') in told('export', tmp_path / 'a', '--onnx', tmp_path / 'none',
                                     '--output', 'score_output', status=2)
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('options', [(), ('--states',)])
def test_an_output_may_be_listed_twice_or_be_an_input(options, tmp_path):
    cell, data, path = rnn.LSTMCell(6, 'lstm_'), V('data'), tmp_path / 'a.onnx'
    outputs = over(cell, 3, data)
    scores = S.FullyConnected(outputs, num_hidden=5, flatten=False, name='scores')
    save(tmp_path / 'a', S.Group([scores, data, scores]), cell, {'data': (2, 3, 4)})
    names = '--output', 'scores_output', '--output', outputs.name + '_output'
    for chosen, there in ((), ['scores_output', 'data_output', 'scores_output_1']), (
            names + names[:2], ['scores_output', outputs.name + '_output', 'scores_output_1']):
        assert 'checked: ' in told('export', tmp_path / 'a', '--onnx', path, *options, *chosen)
        assert open_file(str(path)).names == there
        assert 'within the tolerance' in told('compare', tmp_path / 'a', path)


def test_a_file_with_states_is_compared_in_chunks(prefix, tmp_path):
    path = tmp_path / 'steps.onnx'
    assert command('export', prefix, '--onnx', path, '--states') == 0
    assert told('compare', prefix, 4, path, '--input', 'data=3,7').splitlines()[:3] == [
        'checkpoint in MXNet', 'data: data (3, 7)', 'the file ran in chunks of 1 and 6 steps']
    for shape in ('data=3', 'data=3,7,1'):
        assert 'steps.onnx takes data=batch,time, got ' + shape in told(
            'compare', prefix, 4, path, '--input', shape, status=2)
    other = interop.load(prefix, 4)
    weight = other.arg_params['lstm_l1_h2h_weight']
    other.arg_params['lstm_l1_h2h_weight'] = weight + np.arange(len(weight), dtype='f')[:, None]
    interop.save(other, prefix, 5)   # the first step, which begins with zeros, stays the same
    assert command('compare', prefix, 5, path, '--input', 'data=3,1') == 0
    assert command('compare', prefix, 5, path, '--input', 'data=3,2') == 1


@pytest.mark.parametrize('name, chunks, begins', [
    ('begin_states_that_are_variables', [1, 6], ['l0_init_c', 'l0_init_h']),
    ('attention_with_input_feeding', [1, 4], [])])
def test_programs_in_chunks(name, chunks, begins, tmp_path):
    from .test_programs_leave import model_of
    _, model = model_of(name)
    path = str(tmp_path / 'a.onnx')
    interop.to_onnx(model, path, states=True)
    found = compare(model, path, {})
    assert found.chunks == chunks and {*begins} <= {*found.shapes}
    assert [output for output, _ in found.outputs] == model.outputs
    assert max(apart for _, apart in found.outputs) < 1e-6
    if begins:
        np.savez(tmp_path / 'a.npz', **{begins[0]: np.ones((2, 6), 'f')})
        with pytest.raises(ValueError, match=begins[0] + ': a file with states'):
            compare(model, path, {}, str(tmp_path / 'a.npz'))


def test_sizes_are_larger_where_windows_need_more(tmp_path):
    from .test_programs_leave import model_of
    _, model = model_of('text_of_images')
    interop.to_onnx(model._replace(graph=model.graph.select(['chances_output'])), str(
        tmp_path / 'a.onnx'))
    found = compare(model, str(tmp_path / 'a.onnx'), {})
    assert found.shapes == {'data': (18, 1, 8, 19)}


def test_outputs_without_a_finite_number_are_not_compared(tmp_path):
    pytest.importorskip('onnx')
    model = random_model(S.log(V('data'), name='log'), {'data': (2, 3)})
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), {'data': (2, 3)})
    np.savez(tmp_path / 'a.npz', data=np.full((2, 3), np.nan, 'f'))
    with pytest.raises(ValueError, match='log_output of the checkpoint has no finite number'):
        compare(model, str(tmp_path / 'a.onnx'), {}, str(tmp_path / 'a.npz'))


def test_outputs_that_are_drawn_are_not_compared(tmp_path):
    pytest.importorskip('onnxruntime')
    mean = S.FullyConnected(V('data'), num_hidden=3, name='mean')
    drawn = S.sample_normal(mean, S.exp(mean), name='draw')
    for outputs, status, words in ((S.Group([mean, drawn]), 0, (
            'mean_output', 'not compared: draw_output, since draw (_sample_normal) draws at random',
            'within the tolerance')), (drawn, 2, ('draw (_sample_normal) draws at random',))):
        interop.save(random_model(outputs, {'data': (2, 4)}), tmp_path / 'a', 1)
        (tmp_path / 'a.onnx').unlink(missing_ok=True)
        told('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx')
        said = told('compare', tmp_path / 'a', tmp_path / 'a.onnx', status=status)
        assert all(each in said for each in words)


def onnx_file(path, kind, op, after=None, listed=False):
    """A file of one operator that no export wrote."""
    import onnx
    value, types = onnx.helper.make_tensor_value_info, onnx.TensorProto
    given = (onnx.helper.make_tensor_sequence_value_info if listed else value)(
        'data', getattr(types, kind), ['rows'])
    nodes = [onnx.helper.make_node(op, ['data'], ['out'])]
    outputs = [value('out', getattr(types, after), None)] if after else []
    onnx.save(onnx.helper.make_model(
        onnx.helper.make_graph(nodes, 'graph', [given], outputs), ir_version=8,
        opset_imports=[onnx.helper.make_opsetid('', 17)]), path)


@pytest.mark.parametrize('arguments, text', [
    (['export', 'none', '--onnx', 'a.onnx'], 'none'),
    (['export', 'PREFIX', '7', '--onnx', 'a.onnx'], '0007.params'),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--input', 'data'], '--input must have the form'),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--input', 'data=8,time', '--input', 'data=2,3'],
     '--input must be given once for data, got 8,time and 2,3'),
    (['export', './days', '4'], 'export ./days 4 --onnx ./days.onnx'),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--input', 'date=1'],
     "of the model: data; got 'date': did you mean data?"),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--input', 'words=2,3'],
     "error: inputs must name inputs of the model: data; got 'words'\n"),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--type', 'words=int64'],
     "error: types must name inputs of the model: data; got 'words'\n"),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--type', 'data=int'],
     "types['data'] must be the full name of a type, such as 'int64', got 'int'"),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--type', 'softmax_label=int64'],
     'types must name inputs of the file: data; it does not take softmax_label'),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--input', 'softmax_label=2,3'],
     'inputs must name inputs of the file: data; it does not take softmax_label'),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--input', 'data=batch'],
     'inputs (--input) must give data 2 axes: data=batch,time, got data=batch'),
    (['compare', 'PREFIX', '4', 'PREFIX-symbol.json'], 'symbol.json is no ONNX file: compare'),
    (['compare', 'PREFIX', 'old.py'], 'old.py is no ONNX file: compare takes FILE.onnx, which '),
    (['compare', 'PREFIX', 'nonsense.onnx'],
     'nonsense.onnx does not begin like an ONNX file. It is either damaged or not one'),
    (['export', 'old.py', '--onnx', 'a.onnx'], 'old.py can be read: it is no file of a checkp'),
    (['inspect', 'words.json'], 'words.json can be read: it is no file of a checkpoint. Name '),
    (['inspect', '--symbol', 'words.json', '--params', 'PREFIX-0004.params'],
     'words.json has no nodes. It is either damaged or not a graph such as '),
    (['export', 'PREFIX', '--certify', 'old.py', '--onnx', 'a.onnx'],
     'old.py is not JSON: Expecting value: line 1 column 1 (char 0). It is either damaged or '),
    (['inspect', '--symbol', 'PREFIX-symbol.json', '--params', 'words.json'],
     'words.json does not begin like a file of parameters. It is either damaged or not a file '),
    (['export', 'PREFIX', '--onnx', 'a.onnx', '--output', 'softmax'],
     'or inner nodes, got softmax: did you mean softmax_output?'),
    (['inspect', 'TEXT.tar.gz'], 'there is no such file; did you mean text.tar.gz?'),
    (['inspect', 'txet.tar.gz'], 'there is no such file; did you mean text.tar.gz?'),
    (['inspect', 'nonsens.onnx'], 'there is no such file; did you mean nonsense.onnx?'),
    (['inspect', 'other.tar.gz'], 'other.tar.gz can be read: there is no such file\n'),
    (['inspect', 'PREFIX-symbol.json'], "days-symbol.json-*.params; give the prefix, 'PREFIX'"),
    (['inspect', 'none.onnx'], 'no checkpoint of none.onnx can be read: there is no such file'),
    (['compare', 'empty.onnx', 'PREFIX'], 'takes a checkpoint first: compare '),
    (['compare', 'PREFIX', '4', 'no.pt'], 'there is no file no.pt'),
    (['export', 'PREFIX', '--source', 'a'], 'the path of a source (--source) must end in .py, got'),
    (['inspect', 'PREFIX', '7'], 'days-0007.params: these epochs are there: 4'),
    (['export', 'PREFIX', '--onnx', 'a.PTH'], '--onnx must not end in .pt or .pth or .py'),
    (['export', 'PREFIX', '--onnx', 'none/a.onnx'], 'there is no folder none'),
    (['compare', 'PREFIX', '4', 'none.onnx', '--input', 'date=1'], 'there is no file none.onnx'),
    (['inspect', 'empty.pt'], 'empty.pt is a file of torch, which mxrnn does not read: name a'),
    (['inspect', 'text.tar.gz'], 'text.tar.gz is damaged: '),
    (['export', 'text.tar.gz', '4', '--onnx', 'a.onnx'],
     'text.tar.gz-0004.params: it is an archive with one model: leave out the epoch'),
    (['inspect', 'empty.onnx'], 'empty.onnx does not begin like an ONNX file. It is either'),
    (['compare', 'PREFIX', 'lists.onnx'], 'its input data is seq(tensor(float)), not an array'),
    (['compare', 'PREFIX', 'text.onnx'], 'text.onnx is no export of mxrnn: its input data is tens'),
    (['compare', 'PREFIX', 'silent.onnx'], 'its outputs are none, the checkpoint has softmax_out'),
])
def test_what_the_user_can_put_right_is_said_in_a_message(prefix, tmp_path, monkeypatch,
                                                           arguments, text):
    monkeypatch.chdir(tmp_path)
    for name, content in ('empty.pt', ''), ('empty.onnx', ''), ('text.tar.gz', 'text'), (
            'nonsense.onnx', 'text'), ('old.py', 'import mxnet'), ('words.json', '{"mon": 1}'):
        Path(name).write_text(content)
    onnx_file('lists.onnx', 'FLOAT', 'SequenceLength', 'INT64', listed=True)
    onnx_file('text.onnx', 'STRING', 'Identity', 'STRING')
    onnx_file('silent.onnx', 'FLOAT', 'Identity')
    error = told(*[each.replace('PREFIX', prefix) for each in arguments], status=2)
    assert error.startswith('error: ') and text.replace('PREFIX', prefix) in error
    assert 'Traceback' not in error
    assert not os.path.exists('a.onnx') and not os.path.exists('none')


def test_numbers_of_axes_are_refused_alone(tmp_path):
    """The size of an axis that data do not have was named first; MXNet's own words, by compare."""
    prefix, path = other_model(tmp_path), tmp_path / 'a.onnx'
    assert told('export', prefix, '--onnx', path, '--input', 'data=2,3,4', status=2) == (
        'error: inputs (--input) must give data 2 axes: data=batch,time, got data=2,3,4\n')
    assert command('export', prefix, '--onnx', path) == 0
    np.savez(tmp_path / 'a.npz', data=np.ones(3))
    for words, got in (('--input', 'data=2,3,4'), 'data=2,3,4'), (
            ('--data', tmp_path / 'a.npz'), 'data=3'):
        assert told('compare', prefix, path, *words, status=2) == (
            'error: %s takes data=batch,time, got %s\n' % (path, got))
    for name in 'fish', 'words':
        assert told('compare', prefix, path, '--input', name + '=2,3', status=2) == (
            'error: %s takes data, got %s\n' % (path, name))


def test_a_file_of_an_export_may_have_any_name(prefix, tmp_path):
    """compare said that it is no ONNX file, inspect that there is no such checkpoint."""
    path = tmp_path / 'days.model'
    assert command('export', prefix, '--onnx', path) == 0
    assert 'within the tolerance' in told('compare', prefix, path)
    assert told('inspect', path).startswith('inputs:\n  data  TYPE_INT64')


def test_a_zip_is_read_and_a_file_of_torch_is_not(prefix, tmp_path):
    """Zips were refused as files of torch, which are zips, too."""
    with zipfile.ZipFile(tmp_path / 'days.zip', 'w') as archive:
        for name in 'days-symbol.json', 'days-0004.params':
            archive.write(tmp_path / name, name)
    assert 'outputs:    softmax_output' in told('inspect', tmp_path / 'days.zip')
    torch.save({}, str(tmp_path / 'days.zip'))
    assert 'days.zip is a file of torch, which' in told('inspect', tmp_path / 'days.zip', status=2)


@pytest.mark.parametrize('arguments, blocked, text', [
    (['export', 'PREFIX', '--onnx', 'a.onnx'], 'onnx', 'pip install "onnx'),
    (['export', 'PREFIX', '--source', 'a.py'], 'torch', 'pip install torch'),
    (['compare', 'PREFIX', '4', 'a.onnx'], 'onnxruntime', 'pip install onnxruntime'),
])
def test_a_package_that_is_missing_is_named_with_the_command(prefix, arguments, blocked, text):
    path = Path(prefix).with_name('a.onnx')
    path.write_bytes(b'PK')  # a file that is there, which nothing reads
    words = {'PREFIX': prefix, 'a.onnx': path}
    done = without(blocked, *[words.get(each, each) for each in arguments])
    assert done.returncode == 2 and text in done.stderr and 'Traceback' not in done.stderr


def without(blocked, *arguments):
    """Run a command in a process in which packages cannot be imported."""
    return python('-m', 'mxrnn', *arguments, hidden=blocked)


def test_nothing_needs_mxnet(prefix, tmp_path):
    done = without('mxnet onnx torch', 'inspect', prefix)
    assert done.returncode == 0 and 'not known: ' in done.stdout and 'pip install' in done.stdout
    path = tmp_path / 'a.onnx'
    assert without('mxnet torch', 'export', prefix, '--onnx', path).returncode == 0
    done = without('mxnet torch', 'compare', prefix, 4, path)
    assert done.returncode == 2 and 'pip install torch' in done.stderr
    done = without('mxnet', 'compare', prefix, 4, path)
    assert done.returncode == 0 and done.stdout.startswith(
        'checkpoint in torch\nMXNet cannot be imported here, so nothing')


def test_compare_says_what_is_no_file_of_data(prefix, tmp_path):
    assert command('export', prefix, '--onnx', tmp_path / 'a.onnx') == 0
    np.save(tmp_path / 'one.npy', np.zeros((2, 3)))
    np.savez(tmp_path / 'objects.npz', data=np.array([None]))
    (tmp_path / 'text.npz').write_text('text')
    (tmp_path / 'empty.npz').write_text('')
    (tmp_path / 'cut.npz').write_bytes((tmp_path / 'objects.npz').read_bytes()[:50])
    for name in ('one.npy', 'objects.npz', 'text.npz', 'empty.npz', 'cut.npz', '.'):
        path = tmp_path / name
        assert told('compare', prefix, 4, tmp_path / 'a.onnx', '--data', path, status=2) == (
            'error: data (--data) must be a file of numpy.savez with arrays of numbers, got %s\n'
            % path)
    assert told('compare', prefix, 4, tmp_path / 'a.onnx', '--data', 'no.npz', status=2) == (
        'error: data (--data): cannot read no.npz: No such file or directory\n')


def test_compare_says_which_shapes_an_onnx_file_does_not_take(prefix, tmp_path):
    path = tmp_path / 'a.onnx'
    assert command('export', prefix, '--onnx', path, '--input', 'data=2,3') == 0
    error = told('compare', prefix, 4, path, '--input', 'data=8,20', status=2)
    assert error.startswith('error: the graph of %s does not take data of shape (8, 20)' % path)
    assert 'onnxruntime says: ' in error and error.count('\n') == 1


def test_compare_takes_labels_that_the_file_does_not_have(prefix, tmp_path):
    """Their shapes were refused, their data were not."""
    path = tmp_path / 'a.onnx'
    assert command('export', prefix, '--onnx', path) == 0
    np.savez(tmp_path / 'a.npz', data=np.ones((4, 3)), softmax_label=np.zeros((4, 3)))
    for words in (['--input', 'data=4,3', '--input', 'softmax_label=4,3'],
                  ['--data', tmp_path / 'a.npz']):
        assert 'data: data (4, 3)\n' in told('compare', prefix, path, *words)


def test_compare_with_a_file_of_another_model_says_what_differs(prefix, tmp_path):
    data, words = V('data'), V('words')
    ids, others = (S.Embedding(each, input_dim=WORDS, output_dim=7, name='embed')
                   for each in (data, words))
    rows = S.FullyConnected(data, num_hidden=WORDS, flatten=False, name='all')
    for name, symbol, shapes in [
            ('b', ids, {'data': (2, 3)}), ('c', others, {'words': (2, 3)}),
            ('d', S.broadcast_add(data, words, name='embed'), {'data': (2, 3), 'words': (2, 3)}),
            ('e', S.softmax(rows, name='softmax'), {'data': (2, 3, 5)}),
            ('f', S.sum(data, 1, name='sum'), {'data': (2, 3)}),
            ('g', S.sum(data, 1, keepdims=True, name='sum'), {'data': (2, 3)})]:
        save(tmp_path / name, symbol, [], shapes)
    for one, other, text in [
            ('days', 'b', "its embed_weight has shape (11, 7), the checkpoint's has (11, 5)"),
            ('days', 'c', 'its inputs are words, the checkpoint has data\n'),
            ('d', 'b', 'its inputs are data, the checkpoint has data, words\n'),
            ('days', 'e', 'input data has the axes batch,data_1,5, the checkpoint\'s batch,time'),
            ('f', 'g', "its output sum_output has shape (2, 1), the checkpoint's has (2,)\n")]:
        path, shape = tmp_path / (other + '.onnx'), ['--input', 'data=2,3'] * (other == 'g')
        assert command('export', tmp_path / other, '--onnx', path, *shape) == 0
        error = told('compare', tmp_path / one, 4, path, *shape, status=2)
        assert 'was exported from another model' in error and text in error


def test_compare_says_what_an_epoch_is(capsys):
    with pytest.raises(SystemExit):
        command('compare', 'days', 'days.onnx', 'x')
    assert 'must be the number of an epoch' in capsys.readouterr().err


# ---- damage

@pytest.mark.parametrize('end, damage', [
    ('-0004.params', lambda content: content[:len(content) // 2]),
    ('-symbol.json', lambda content: content[:len(content) // 2]),
    *[('-symbol.json', lambda content, number=number: content.replace(
        b'"num_hidden": "11"', b'"num_hidden": "%s"' % number)) for number in (b'word', b'1e9')]])
def test_damaged_files_are_refused_and_nothing_is_written(end, damage, prefix, tmp_path):
    path = Path(prefix + end)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    before = sorted(os.listdir(tmp_path))
    error = told('export', prefix, 4, '--onnx', tmp_path / 'a.onnx', status=2)
    assert error.startswith('error: ') and len(error) > 30
    assert sorted(os.listdir(tmp_path)) == before


def test_the_parser_imports_no_numpy():
    code = 'import sys, mxrnn.__main__; sys.exit("numpy" in sys.modules)'
    printed('-c', code)


def test_a_drawing_of_the_layers(tmp_path):
    """Unrolled or fused: one box a layer, with its weights, and one line from each to the next."""
    cell = stack(rnn.LSTMCell(32, prefix='l0_'), rnn.BidirectionalCell(
        rnn.GRUCell(16, prefix='f_'), rnn.GRUCell(16, prefix='b_')))
    words = S.Embedding(V('data'), input_dim=8, output_dim=16, name='embed')
    found = {}
    for kind, unrolled in (('steps', cell), ('fused', rnn.fuse(cell))):
        scores = S.FullyConnected(over(unrolled, 12, words), num_hidden=8, flatten=False,
                                  name='score<')
        save(tmp_path / kind, scores, cell, {'data': (4, 12)})
        picture = tmp_path / (kind + '.svg')
        said = told('inspect', tmp_path / kind, '--plot', picture)
        assert '%s: %d bytes\n' % (picture, picture.stat().st_size) in said
        root = ElementTree.parse(picture).getroot()
        labels = [*root.iter('{http://www.w3.org/2000/svg}text')]
        texts = [each.text for each in labels]
        boxes = [[float(box.get(key)) for key in ('x', 'y', 'width', 'height')]
                 for box in root.iter() if box.get('rx') is not None]
        for label in labels:  # each stands in the middle of a box
            x, y = float(label.get('x')), float(label.get('y'))
            assert any(x == left + width / 2 and top < y < top + height
                       for left, top, width, height in boxes), label.text
        assert {'data', 'embed', 'score<', '128 weights', '6,400 weights'} <= {*texts}
        assert max(map(len, texts)) <= 36 and len(texts) < 40
        assert not any('_rolled' in text for text in texts)
        lines = sum('marker-end' in each.attrib for each in root.iter())
        assert lines >= len(boxes) - 1
        found[kind] = texts
    assert found['fused'].count('4,800 weights') == 1
    assert found['steps'].count('2,400 weights') == 2 and 'l0' in found['steps']
    assert found['steps'].count('RNN, 12 steps') == 3 and found['fused'].count('RNN') == 2
    for path, said in (('x.png', '--plot must end in .svg, got x.png'),
                       ('none/x.svg', 'there is no folder none')):
        assert said in told('inspect', tmp_path / kind, '--plot', path, status=2)


# ---- data for compare, by what reads it

DATA, LABEL, WORD = V('data'), V('label'), V('word')


def ctc(name='label', **kwargs):
    scores = S.FullyConnected(V('data'), num_hidden=6, flatten=False, name='fc')
    return S.CTCLoss(scores, V(name), name='ctc', **kwargs)


#: Graphs, and the shapes of their inputs.
READ = {
    'embedding': lambda: (S.Embedding(V('data'), input_dim=7, output_dim=3), {'data': (2, 4)}),
    'sparse_embedding': lambda: (S.contrib.SparseEmbedding(
        V('data'), input_dim=7, output_dim=3), {'data': (2, 4)}),
    'embedding_of_steps': lambda: (S.Concat(*[S.Embedding(
        S.Reshape(part, shape=(-1,)), WORD, input_dim=7, output_dim=3) for part in S.SliceChannel(
            S.SwapAxis(V('data'), dim1=0, dim2=1), num_outputs=4, axis=0)]), {'data': (2, 4)}),
    'take': lambda: (S.take(S.FullyConnected(V('data'), num_hidden=3), V('index'), mode='raise'),
                     {'data': (2, 4), 'index': (5, 2)}),
    'pick': lambda: (S.pick(S.FullyConnected(V('data'), num_hidden=3), V('index')), {
        'data': (2, 4), 'index': (2, 1)}),
    'one_hot': lambda: (S.one_hot(V('data'), depth=7), {'data': (2, 4)}),
    'cross_entropy': lambda: (S.softmax_cross_entropy(S.FullyConnected(
        V('data'), num_hidden=5), V('label')), {'data': (3, 4), 'label': (3,)}),
    'ctc': lambda: (ctc(), {'data': (8, 2, 4), 'label': (2, 4)}),
    'ctc_last': lambda: (ctc(blank_label='last'), {'data': (8, 2, 4), 'label': (2, 4)}),
    'ctc_lengths': lambda: (ctc(data_lengths=V('steps'), label_lengths=V('letters'),
                                use_data_lengths=True, use_label_lengths=True), {
        'data': (8, 2, 4), 'label': (2, 4), 'steps': (2,), 'letters': (2,)}),
    'ctc_label_lengths': lambda: (ctc(label_lengths=V('letters'), use_label_lengths=True), {
        'data': (8, 2, 4), 'label': (2, 4), 'letters': (2,)}),
    'lengths': lambda: (S.SequenceLast(S.SwapAxis(V('data'), dim1=0, dim2=1), V('length'),
                                       use_sequence_length=True),
                        {'data': (2, 5, 4), 'length': (2,)}),
    'loop': lambda: (S.contrib.foreach(
        lambda words, state: (S.Embedding(words, V('words'), input_dim=7, output_dim=3),
                              state), V('data'), S.zeros((1,)))[0], {'data': (4, 2)}),
    'shared_label': lambda: (S.LinearRegressionOutput(S.FullyConnected(
        DATA, num_hidden=3), S.slice_axis(DATA, axis=1, begin=1, end=4)), {'data': (2, 4)}),
}


@pytest.mark.parametrize('name', [name for name in READ if 'ctc' not in name])
def test_compare_gives_an_input_what_its_readers_take(name, tmp_path):
    symbol, shapes = READ[name]()
    save(tmp_path / 'a', symbol, [], shapes)
    path = tmp_path / 'a.onnx'
    sizes = [word for key, shape in shapes.items()
             for word in ('--input', '%s=%s' % (key, ','.join(map(str, shape))))]
    assert command('export', tmp_path / 'a', '--onnx', path, *sizes) == 0
    found = compare(interop.load(tmp_path / 'a'), str(path), shapes)
    assert found.runner == 'MXNet' and [each for each, _ in found.outputs] == symbol.list_outputs()
    assert all(difference < 1e-6 for _, difference in found.outputs), found


@pytest.mark.parametrize('form', ['onnx', 'source'])
def test_all_that_the_ctc_losses_of_an_output_read_is_exported(form, tmp_path):
    one, two = (S.FullyConnected(DATA, num_hidden=6, flatten=False, name=name)
                for name in ('one', 'two'))
    loss = S.ctc_loss(one, LABEL)
    path = tmp_path / {'onnx': 'a.onnx', 'source': 'c.py'}[form]
    shapes = {'data': (8, 2, 4), 'label': (2, 4)}

    def exported(total, status=0):
        save(tmp_path / 'a', S.MakeLoss(total, name='total'), [], shapes)
        for each in path, path.with_suffix('.pt'):
            each.unlink(missing_ok=True)
        return told_in_a_line('export', tmp_path / 'a', '--' + form, path, status=status)
    size = S.mean(S.square(one))
    for total, names in ((loss + S.ctc_loss(two, LABEL), ['one_output', 'two_output']),
                         (S.broadcast_add(loss, size), ['one_output'])):
        said = exported(total)
        if form == 'source':
            assert 'forward gives %s, which' % ', '.join(names) in said
        else:
            found = compare(interop.load(tmp_path / 'a'), str(path), {'data': shapes['data']})
            assert [name for name, _ in found.outputs] == names
            assert max(apart for _, apart in found.outputs) < 1e-6
    inner = one.get_internals()
    tied = S.FullyConnected(DATA + 1, inner['one_weight'], inner['one_bias'], num_hidden=6,
                            flatten=False)
    for beside in two, tied, S.dot(DATA, inner['one_weight'], transpose_b=True):
        total = S.broadcast_add(loss, S.mean(beside))
        if form == 'onnx':  # a source has the loss itself
            assert '--output), such as one_output' in exported(total, 2) and not path.exists()
        else:
            assert 'which the loss reads' not in exported(total)


#: By graph, input and shape: the values that are drawn.
VALUES = {('embedding_of_steps', 'data', (90, 4)): {*range(7)},
          ('loop', 'data', (90, 2)): {*range(7)},
          ('sparse_embedding', 'data', (90, 3)): {*range(7)},
          ('one_hot', 'data', (90, 3)): {*range(7)},
          ('cross_entropy', 'label', (90,)): {*range(5)},
          ('ctc_lengths', 'letters', (90,)): {1},  # a label must fit into its data
          ('ctc_label_lengths', 'letters', (90,)): {1},
          ('lengths', 'length', (90,)): {1, 2, 3, 4}}
#: The same for labels: classes, and what is behind the last one.
LABELS = {('ctc', 'label', (90, 4)): (range(1, 6), 0),
          ('ctc_last', 'label', (90, 4)): (range(5), -1)}


def test_data_is_in_range_and_labels_are_padded():
    random = np.random.RandomState(0)
    drawn = {key: data_for(graph_of(READ[key[0]]()[0]), *key[1:], 'float32', 4, random)
             for key in (*VALUES, *LABELS)}
    for key, values in VALUES.items():
        assert {*drawn[key].ravel()} == values, key
    for key, (classes, padding) in LABELS.items():
        assert {*drawn[key].ravel()} == {*classes, padding}
        lengths = (drawn[key] != padding).cumprod(1).sum(1)
        assert {*lengths} == {1, 2} and ((drawn[key] != padding).sum(1) == lengths).all()


def test_a_missing_encoder_is_named(tmp_path):
    from .test_programs_leave import model_of
    _, model = model_of('encoder_and_decoder')
    interop.to_onnx(model, tmp_path / 'turn.onnx', states=True)
    with pytest.raises(ValueError, match='encoder.onnx has no states: load .*turn.onnx, which'):
        interop.load_stepper(tmp_path / 'turn-encoder.onnx')
    os.remove(str(tmp_path / 'turn-encoder.onnx'))
    with pytest.raises(FileNotFoundError, match='no file .*turn-encoder.onnx, the encoder of'):
        open_file(str(tmp_path / 'turn.onnx'))
