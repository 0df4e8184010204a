"""Checkpoints that are damaged, foreign or for other cells are refused by name."""
import collections
import contextlib
import json
import re
import struct

import numpy as np
import pytest

from . import differs, mx, rnn
from .array_files import CPU_FLOAT, DATA, OLD, V2, array_list, u32, u64
from .checkpoints import CELLS, flipped, parameters, refusal, without_checksum
from .comparing import same

pytestmark = differs


# differences.md: missing weights, in `pack_weights`, `unpack_weights` or a checkpoint
def test_weights_of_other_cells_are_listed(saved):
    _, prefix = saved[:2]
    message = refusal(rnn.FusedRNNCell(3, 1, 'lstm', True, prefix='lstm_'), prefix)
    assert 'model-0001.params' in message and 'left over' in message
    assert 'lstm_l1_i2h_i_weight' in message and 'lstm_r1_h2h_o_bias' in message
    message = refusal(rnn.FusedRNNCell(3, 2, 'lstm', True, prefix='gru_'), prefix)
    assert "are of 4 layers ('lstm_l0_', 'lstm_l1_', 'lstm_r0_', 'lstm_r1_')" in message
    assert "and none of 'gru_l0_', 'gru_l1_', 'gru_r0_', 'gru_r1_'" in message
    assert message.count('_bias') + message.count('_weight') <= 12
    assert "of 'lstm_l0_' are of the gates c, f, i, o, and none of r, z: use the kind" in refusal(
        rnn.FusedRNNCell(3, 2, 'gru', True, prefix='lstm_'), prefix)
    message = refusal(rnn.FusedRNNCell(5, 2, 'lstm', True, prefix='lstm_'), prefix)
    assert 'lstm_l0_i2h_i_weight' in message and '(3, 4)' in message and '(5, ' in message
    assert 'left over' in refusal([], prefix)


# differences.md: extra or missing names in a checkpoint, shapes that contradict the graph
@pytest.mark.parametrize('change, said', [
    ({'output_weight': None}, 'missing output_weight'),
    ({'norm_gamma': None, 'output_bias': None}, 'missing norm_gamma, output_bias'),
    ({'aux:norm_moving_var': None}, 'missing norm_moving_var'),
    ({'extra': (2,), 'more': (3,)}, 'left over extra, more'),
    ({'aux:extra': (2,)}, 'left over extra'),
    ({'output_weight': (8, 6)}, r'output_weight has the shape \(8, 6\), .* \(7,\)'),
    ({'embed_weight': (7, 5)}, r'embed_weight has the shape \(7, 5\), .* \(7, 4\)'),
    ({'embed_weight': (8, 4), 'output_bias': (5,)}, 'embed_weight .*; output_bias'),
    ({'lstm_parameters': (100,)}, 'lstm_parameters'),
])
def test_names_and_shapes_are_listed(change, said, saved, tmp_path):
    cell, _, symbol, arg_params, aux_params = saved
    prefix = str(tmp_path / 'changed')
    everything = {'arg:' + name: array for name, array in arg_params.items()}
    everything.update(('aux:' + name, array) for name, array in aux_params.items())
    for name, shape in change.items():
        name = name if name.startswith('aux:') else 'arg:' + name
        everything.pop(name, None)
        if shape is not None:
            everything[name] = mx.nd.ones(shape)
    mx.nd.save(prefix + '-0001.params', everything)
    symbol.save(prefix + '-symbol.json')
    message = refusal(cell, prefix)
    assert 'changed-0001.params' in message
    assert re.search(said, message)


# differences.md: extra or missing names in a checkpoint, shapes that contradict the graph
def test_not_strict(saved, tmp_path):
    changed = dict(saved.arg_params, extra=mx.nd.ones(2))
    del changed['output_bias']
    saved.save(saved.prefix, arg_params=changed)
    loaded = rnn.load_rnn_checkpoint(saved.cell, saved.prefix, 1, strict=False)
    assert same(loaded.arg_params, changed)


# differences.md: files of `mx.model.save_checkpoint` with packed weights
@pytest.mark.parametrize('kind', sorted(CELLS))
def test_packed_files_of_mxnet(kind, saved, tmp_path):
    cell, _, symbol, arg_params, aux_params = saved
    prefix = str(tmp_path / 'packed')
    mx.model.save_checkpoint(prefix, 1, symbol, arg_params, aux_params)
    if kind == 'fused':
        assert same(rnn.load_rnn_checkpoint(cell, prefix, 1).arg_params, arg_params)
    else:  # another packing than theirs
        assert 'lstm_l0_i2h_i_weight' in refusal(CELLS[kind](), prefix)


def header_bytes(content):
    """Positions of the bytes of a file of dense float32 arrays that are no elements."""
    at, found = 24, list(range(24))
    for _ in range(struct.unpack('<Q', content[16:24])[0]):
        rank, = struct.unpack_from('<I', content, at + 8)
        shape = struct.unpack_from('<%dq' % rank, content, at + 12)
        end = at + 12 + 8 * rank + 12
        found += range(at, end)
        at = end + 4 * int(np.prod(shape))
    return found + list(range(at, len(content)))


def truncated(content):
    headers = header_bytes(content)
    inside = sorted(set(range(len(content))) - set(headers))
    return [content[:length] for length in {*headers, *inside[::97], len(content) - 1}]


def flipped_in_headers(content):
    return [flipped(content, at, bit) for at in header_bytes(content)
            for bit in {at % 8, (at + 3) % 8, 2}]  # bit 2 makes integers of reals


def damaged_graphs(content):
    random = np.random.RandomState(1)
    numbers = [found.span() for found in re.finditer(rb'\d+', content)]
    for _ in range(200):
        yield flipped(content, random.randint(len(content)), random.randint(8))
        yield content[:random.randint(len(content))]
        begin, end = numbers[random.randint(len(numbers))]
        wrong = [b'0', b'9', b'77777', b'-1', b'4000000000'][random.randint(5)]
        yield content[:begin] + wrong + content[end:]


# differences.md: truncated, damaged or foreign files; flipped bits
@pytest.mark.parametrize('name, damage, refused, read', [
    ('model-0001.params', truncated, 700, 0), ('model-0001.params', flipped_in_headers, 1000, 100),
    ('model-symbol.json', damaged_graphs, 300, 1)])
def test_damaged_files_are_refused_or_read_as_they_were(name, damage, refused, read, small,
                                                        tmp_path):
    cell, prefix, arg_params, aux_params = small
    found = collections.Counter()
    for content in damage((tmp_path / name).read_bytes()):
        (tmp_path / name).write_bytes(content)
        try:
            loaded = rnn.load_rnn_checkpoint(cell, prefix, 1)
        except rnn.CheckpointError as error:
            found['refused'] += 1
            assert name in str(error) or 'symbol' in name and 'does not fit' in str(error)
        else:
            found['read'] += 1
            with contextlib.suppress(mx.base.MXNetError):  # which old ones raise
                loaded.symbol.infer_shape_partial()  # which does not crash
            assert same(loaded.arg_params, arg_params) and same(loaded.aux_params, aux_params)
    assert found['refused'] > refused and (found['read'] >= read if read else not found['read'])


@pytest.mark.parametrize('stype, right, wrong', [
    ('row_sparse', (0, 2), (0, 3)), ('row_sparse', (0, 2), (-1, 2)),
    ('row_sparse', (0, 2), (0, 1 << 40)),
    ('csr', (1, 2, 0), (1, 3, 0)), ('csr', (1, 2, 0), (1, -1, 0)),
    ('csr', (0, 2, 2, 3), (0, 1 << 40, 2, 3)), ('csr', (0, 2, 2, 3), (0, 2, 1, 3)),
    ('csr', (0, 2, 2, 3), (-1, 2, 2, 3)), ('csr', (0, 2, 2, 3), (1, 2, 2, 3)),
    ('csr', (0, 2, 2, 3), (0, 2, 2, 2)), ('csr', (0, 2, 2, 3), (0, 2, 2, 4))])
def test_sparse_parameters_that_point_out_of_their_array(stype, right, wrong, tmp_path):
    """MXNet writes to wherever they point when it makes the array dense."""
    prefix = str(tmp_path / 'sparse')
    values = mx.nd.array([[0, 1, 2], [0, 0, 0], [3, 0, 0]]).tostype(stype)
    mx.nd.waitall()
    rnn.save_rnn_checkpoint([], prefix, 1, mx.sym.Variable('a'), {'a': values}, {}, checksum=False)
    path = tmp_path / 'sparse-0001.params'
    content, right, wrong = path.read_bytes(), *(
        struct.pack('<%dq' % len(each), *each) for each in (right, wrong))
    assert content.count(right) == 1
    path.write_bytes(content.replace(right, wrong))
    with pytest.raises(rnn.CheckpointError, match='array 1 of 1 has indices outside'):
        rnn.load_rnn_checkpoint([], prefix, 1)


@pytest.mark.parametrize('content, said', [
    (b'', 'header'),
    (b'hello, world, this is no file of arrays', 'does not begin'),
    (array_list(OLD, magic=0x113), 'does not begin'),
    (array_list(OLD, names=()), '1 arrays and 0 names'),
    (array_list(OLD, counts=(2 ** 60, 1)), 'array 2 of'),
    (array_list(OLD, counts=(1, 2 ** 60)), '1 arrays and'),
    (array_list(OLD) + b'x', '1 bytes follow'),
    (array_list(OLD, names=(b'a',)), 'a begins with neither'),
    (array_list(OLD, OLD, names=(b'arg:a', b'arg:a')), 'arg:a is there twice'),
    (array_list(OLD, names=(b'arg:\xff',)), 'decode'),
    (array_list(V2 + u32(0, 2) + u64(2 ** 62, 2 ** 62) + CPU_FLOAT + DATA), 'takes'),
    (array_list(V2 + u32(0, 2) + u64(2 ** 63, 1) + CPU_FLOAT + DATA), 'shape'),
    (array_list(V2 + u32(0, 2 ** 31) + u64(2, 3) + CPU_FLOAT + DATA), 'rank'),
    (array_list(V2 + u32(0, 0)), 'rank 0'),
    (array_list(V2 + u32(7, 2) + u64(2, 3) + CPU_FLOAT + DATA), 'storage 7'),
    (array_list(V2 + u32(0, 2) + u64(2, 3) + u32(1, 0, 99) + DATA), 'type 99'),
    (array_list(V2 + u32(1, 2) + u64(2, 3) + u32(2) + u64(9, 4) + CPU_FLOAT + u32(6, 1) + u64(2)
                + DATA + u64(0, 1)), 'indices'),
    (array_list(V2 + u32(2, 1) + u64(6) + u32(2) + u64(2, 3) + CPU_FLOAT + u32(6, 1) + u64(2)
                + u32(6, 1) + u64(6) + DATA + u64(0, 6) + u64(*range(6))), 'indices'),
])
def test_foreign_files(content, said, tmp_path):
    prefix = str(tmp_path / 'foreign')
    (tmp_path / 'foreign-0001.params').write_bytes(content)
    mx.sym.Variable('a').save(prefix + '-symbol.json')
    message = refusal([], prefix)
    assert 'foreign-0001.params' in message and said in message


@pytest.mark.parametrize('change, said', [
    (lambda graph: graph.pop('heads'), 'heads'),
    (lambda graph: graph['heads'].append([9999, 0, 0]), 'node 9999'),
    (lambda graph: graph['heads'].append([0, 7, 0]), 'output 7'),
    (lambda graph: graph['nodes'][2]['inputs'].append([2, 0, 0]), 'node 2 of 2'),
    (lambda graph: graph['nodes'][2].pop('inputs'), 'inputs'),
    (lambda graph: graph['node_row_ptr'].pop(), 'outputs of'),
    (lambda graph: graph['nodes'][-1].update(op='NoSuchOperator'), 'NoSuchOperator'),
    (lambda graph: graph.clear(), 'nodes'),
])
def test_foreign_graphs(change, said, saved, tmp_path):
    cell, prefix = saved[:2]
    path = tmp_path / 'model-symbol.json'
    graph = json.loads(path.read_text())
    change(graph)
    path.write_text(json.dumps(graph))
    assert said in refusal(cell, prefix)


# ---- checksums

def dense(prefix):
    cell = rnn.LSTMCell(2, prefix='lstm_')
    symbol = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)[0]
    rnn.save_rnn_checkpoint(cell, prefix, 1, symbol, parameters(symbol, data=(2, 2, 3))[0], {})
    return cell


def sparse(prefix):
    values = mx.nd.array([[0, 1], [0, 0], [2, 3]])
    params = {'rows': values.tostype('row_sparse'), 'csr': values.tostype('csr')}
    mx.nd.waitall()
    rnn.save_rnn_checkpoint([], prefix, 1, mx.sym.Variable('rows') + mx.sym.Variable('csr'),
                            params, {})
    return []


def several_types(prefix):
    params = {kind: mx.nd.ones((3, 5), dtype=kind) for kind in ('float16', 'float64', 'int8')}
    symbol = sum(mx.sym.cast(mx.sym.Variable(kind), 'float32') for kind in params)
    rnn.save_rnn_checkpoint([], prefix, 1, symbol, params, {'mean': mx.nd.ones(1)})
    return []


# differences.md: truncated, damaged or foreign files; flipped bits
@pytest.mark.parametrize('make', [
    pytest.param(dense, marks=pytest.mark.nightly), sparse, several_types])
def test_a_flipped_bit_in_any_byte_is_found(make, tmp_path):
    prefix = str(tmp_path / 'model')
    cells = make(prefix)
    rnn.load_rnn_checkpoint(cells, prefix, 1, strict=False)
    path = tmp_path / 'model-0001.params'
    whole = path.read_bytes()
    assert len(whole) > 300
    for at in range(len(whole)):
        for bit in range(8) if 8 <= at < 16 else {at % 8, (at + 3) % 8}:
            path.write_bytes(flipped(whole, at, bit))
            with pytest.raises(rnn.CheckpointError, match=r'model-0001\.params'):
                rnn.load_rnn_checkpoint(cells, prefix, 1, strict=False)


# differences.md: the reserved word in `.params` headers
def test_a_checksum_is_where_mxnet_does_not_look(saved, tmp_path):
    cell, prefix, _, arg_params, _ = saved
    with_it = (tmp_path / 'model-0001.params').read_bytes()
    saved.save(prefix, checksum=False)
    without = (tmp_path / 'model-0001.params').read_bytes()
    assert with_it != without == without_checksum(with_it) and without[8:16] == bytes(8)
    rnn.do_rnn_checkpoint(cell, prefix, checksum=False)(1, *saved.model)
    assert (tmp_path / 'model-0002.params').read_bytes() == without
    for content in (without, with_it):
        (tmp_path / 'model-0001.params').write_bytes(content)
        assert same(rnn.load_rnn_checkpoint(cell, prefix, 1)[1], arg_params)
        _, read, _ = mx.model.load_checkpoint(prefix, 1)
        assert same(cell.pack_weights(read), arg_params)
    with pytest.raises(TypeError, match='checksum must be'):
        saved.save(prefix, checksum='crc')


# ---- integers, which damage makes

# differences.md: one gate of a cell has become integers
def test_one_gate_of_integers_is_damage(tmp_path):
    cell, prefix = rnn.LSTMCell(2, prefix='lstm_'), str(tmp_path / 'model')
    symbol = cell.unroll(2, mx.sym.Variable('data'), merge_outputs=True)[0]
    params = parameters(symbol, data=(2, 2, 3))[0]
    unpacked = cell.unpack_weights(params)
    for name in ('lstm_i2h_i_weight', 'lstm_i2h_f_weight', 'lstm_h2h_o_bias'):
        changed = dict(unpacked)
        changed[name] = unpacked[name].astype('int32')
        rnn.save_rnn_checkpoint([], prefix, 1, symbol, changed, {})
        assert 'integers are in' in refusal(cell, prefix)
        assert name.rsplit('_', 2)[0] in refusal(cell, prefix)
