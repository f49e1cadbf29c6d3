"""Counts of values by their size; the property that percentiles keep to is stated in Rust, beside the code."""

import threading

import pytest

from hotloop._core import Histogram


def test_values_are_counted_one_by_one_and_in_lists():
    histogram = Histogram()
    assert (histogram.count, histogram.mean, histogram.highest, histogram.percentile(0.5)) == (0, 0.0, 0.0, 0.0)
    histogram.add(1.0)
    histogram.extend([2.0, 3.0, 10.0])
    assert (histogram.count, histogram.mean, histogram.highest) == (4, 4.0, 10.0)
    for share, value in ((0.25, 1.0), (0.5, 2.0), (0.75, 3.0), (1.0, 10.0)):
        assert histogram.percentile(share) == pytest.approx(value, rel=0.01)


def test_what_is_no_number_changes_nothing():
    histogram = Histogram()
    for wrong in (None, "1", [1.0, "2"]):
        with pytest.raises(TypeError):
            histogram.add(wrong)
        with pytest.raises(TypeError):
            histogram.extend([1.0, wrong])
    assert histogram.count == 0


def test_threads_may_count_at_once():
    histogram = Histogram()
    threads = [threading.Thread(target=lambda: [histogram.add(1.0) for _ in range(2_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (histogram.count, histogram.mean) == (8_000, 1.0)
