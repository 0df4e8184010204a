"""Runs a Symbol in MXNet, and its graph rolled up in torch, with the same values."""
from mxrnn import interop
from mxrnn._graph.rolling import structure

from .. import mx
from ..running import flat, random_value
from .compare import Evaluated, run, torch
from .models import S, V


def group(outputs, states=()):
    """A Symbol of outputs and states, with an identity for each: MXNet gives an output that stands
    twice in a group one of its gradients."""
    with mx.name.NameManager():
        return S.Group([S.identity(each) for each in [*flat(outputs), *flat(states)]])


def unrolled(cell, length, data=None, **options):
    """The graph of a cell over so many steps: outputs and states."""
    with mx.name.NameManager():
        outputs, states = cell.unroll(length, V('data') if data is None else data,
                                      **{'merge_outputs': True, **options})
        return group(outputs, states)


def run_rolled(rolled, bound, inputs):
    """The rolled graph in torch, with the values of a Symbol that was run."""
    return run(Evaluated(rolled.graph, {
        name: value for name, value in bound.args.items() if name not in inputs},
        bool(bound.grads)), bound, inputs)


def check_rolled(symbol, training=False, **options):
    """The rolled graph of a Symbol, each of whose recurrences is an operator or a loop."""
    rolled = structure(interop.graph_from_json(symbol.tojson()), training=training, **options)
    left = [finding for finding in rolled.findings if finding.kind == 'unrolled']
    assert not left, left
    assert rolled.graph.outputs == symbol.list_outputs()
    return rolled


def for_mxnet(symbol):
    """A Symbol rolled up, as the check of exports runs it in MXNet."""
    graph = structure(interop.graph_from_json(symbol.tojson())).graph
    return S.load_json(interop.graph_to_json(graph))


# ---- in torch alone, in float64

def values_of(symbol, shapes):
    """Random values of a Symbol's arguments."""
    found = symbol.infer_shape(**shapes)[0]
    return {name: random_value(name, shape) for name, shape in zip(symbol.list_arguments(), found)}


def in_float64(graph):
    """A graph that makes arrays of float64 in the place of float32."""
    nodes = [node._replace(
        attrs={**node.attrs, **dict.fromkeys(
            ['dtype'] * (getattr(node, 'dtype', None) == 'float32'), 'float64')},
        subgraphs=tuple(map(in_float64, node.subgraphs))) for node in graph.nodes]
    return graph._replace(nodes=tuple(nodes))


def outputs_of(graph, values, train=False):
    """The outputs of a graph in torch, and the gradients of its arguments, by name."""
    module = Evaluated(in_float64(graph), values, train)
    found = module()
    heads = [torch.tensor(random_value('head %d' % i, tuple(each.shape)))
             for i, each in enumerate(found)]
    torch.autograd.backward(*zip(*[pair for pair in zip(found, heads) if pair[0].requires_grad]))
    grads = {**{name: torch.zeros(value.shape) for name, value in values.items()},
             **module.gradients()}
    return [each.detach() for each in found] + [grads[name] for name in sorted(grads)]


def assert_same(first, second, values):
    """Two graphs have the same outputs and gradients."""
    for one, other in zip(outputs_of(first, values), outputs_of(second, values)):
        assert one.shape == other.shape
        if one.numel():
            assert (one - other).abs().max() <= 1e-12 * max(1, other.abs().max())
