"""The corpora of the fuzzers, replayed: every input through its target, without a fuzzer.

An input is there because it reached code that no other did, or because it was a finding once.
`make fuzz` goes on from them (tests/fuzz/run.py).
"""

import faulthandler
from collections import Counter
from itertools import islice

import pytest
from fuzz.corpora import read_corpus
from fuzz.differential import Reader, compare, mutants
from fuzz.targets import TARGETS
from places import TESTS

CORPUS = TESTS / "fuzz" / "corpus"
SECONDS = 60  # for one input; it takes milliseconds
MUTANTS = 200  # that TensorFlow reads, too


@pytest.mark.parametrize("target", TARGETS)
def test_input_of_the_corpus_ends_in_the_right_answer_or_an_error_of_ours(target):
    corpus = read_corpus(CORPUS / f"{target}.zip")

    for name, data in corpus.items():
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            TARGETS[target](data)
        except Exception as error:
            raise AssertionError(f"input {name} of {target}.zip: {error!r}") from error
        finally:
            faulthandler.cancel_dump_traceback_later()

    assert corpus, f"{target}.zip is empty"


def test_what_tensorflow_accepts_of_broken_bundles_is_what_we_read(oracle):
    reader, counts, different = Reader(oracle.python), Counter(), []
    inputs = list(read_corpus(CORPUS / "bundle.zip").values())

    try:
        for data in islice(mutants(inputs, seed=1), MUTANTS):
            different += compare(reader, data, counts)
    finally:
        reader.close()

    assert different == []
    assert counts["bundles that both open"] > MUTANTS // 20
    assert counts["tensors that both read"] > MUTANTS // 20


def test_every_corpus_has_a_target():
    corpora = {path.stem for path in CORPUS.iterdir()}

    assert corpora == set(TARGETS)
