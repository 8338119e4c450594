"""Fixtures for tests of methods."""

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Networks this small lose time to a second thread, and bits depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
