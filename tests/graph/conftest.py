"""TensorFlow's own reading and running of graphs."""

import pytest
from graph_oracle import GraphOracle


@pytest.fixture(scope="session")
def graph_oracle(oracle):
    """TensorFlow, asked about graphs."""
    with_tensorflow = GraphOracle(oracle.python)
    yield with_tensorflow
    with_tensorflow.close()
