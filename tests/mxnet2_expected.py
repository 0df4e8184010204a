"""Tests that fail on MXNet 2, each with the reason."""
from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ['EXPECTED', 'Expected', 'known', 'outlived']


class Expected(NamedTuple):
    """Tests that fail, and why.

    Attributes
    ----------
    name : str
        A pattern that the whole names of tests match, from the file on.
    said : str
        A pattern that is found in what a failure says. Nothing else may fail.
    reason : str
    always : bool
        Whether each of these tests fails, so that one that passes is an error: the row has
        outlived its reason.
    """

    name: str
    said: str
    reason: str
    always: bool = True


_SEVEN = 'of the optimisers of MXNet 1 seven are there, and this one is not'

EXPECTED = [
    Expected(r'test_scripts\.py::test_scripts_run\[(graph_size|train_step)\]',
             'no attribute .rnn', 'these benchmarks compare with mxnet.rnn'),
    Expected(r'test_scripts\.py::test_scripts_run\[predict\]',
             'Block.s inputs must be of type', 'the benchmark compares with a layer of Gluon 1'),
    Expected(r'test_errors\.py::test_messages_and_remedies\['
             r'(Input argument|Data provided|InferShape).*',
             'AssertionError: ValueError', 'the message is MXNet 1\'s; ours names the argument'),
    Expected(r'interop/test_commands\.py::test_data_is_in_range_and_labels_are_padded'
             r'|interop/test_operators\.py::test_no_operator_is_without_a_test'
             r'|interop/test_onnx_operators\.py::test_no_converter_is_without_a_test'
             r'|interop/.*\[(.*-)?(\w+_v1(_all(_inference)?)?|batch_norm_v1'
             r'|sparse_?embedding|SparseEmbedding)(-.*)?\]',
             'no (SparseEmbedding|attribute .\\w+_v1)', 'the operator is not there'),
    Expected(r'interop/test_layers\.py::test_(gluon\[.*|projections\[True-.*)',
             'no attribute .prefix',
             'layers of Gluon 2 have one vector, rnn_param'),
    Expected(r'interop/test_source_page\.py::test_the_readme_shows_what_becomes_of_its_old_program',
             'A model of MXNet', 'a source says which MXNet its graph is of'),
    Expected(r'interop/test_((source_)?operators\.py::.*|onnx_operators\.py::test_cases_of_.*)'
             r'\[sort_down\]',
             'Invalid Parameter format for axis',
             'the gradient of sort(axis=None) cannot be bound'),
    Expected(r'test_messages\.py::test_.*(is_said_to_be_one\[.*of_the_original.*|'
             r'_of_the_original_are_warned_of\[.*)',
             'DID NOT|MissingWeightsError', 'there are no cells of mxnet.rnn'),
    Expected(r'test_programs\.py::test_an_environment_is_enabled_and_disabled', 'mxnet.rnn True',
             'there is no mxnet.rnn to come back'),
    Expected(r'test_trust\.py::test_what_states_are_made_of_is_built\[[345]\]'
             r'|test_resume\.py::test_.*\[(.*-)?(nadam|lars|lbsgd)-.*', 'nadam|lars|lbsgd', _SEVEN),
]


def known(name: str, said: str) -> list[str]:
    """The reasons for which the test `name` may fail as it `said`."""
    return [row.reason for row in EXPECTED
            if re.fullmatch(row.name, name) and re.search(row.said, said)]


def outlived(name: str) -> list[str]:
    """The reasons for which the test `name`, which has passed, should have failed."""
    return [row.reason for row in EXPECTED if row.always and re.fullmatch(row.name, name)]
