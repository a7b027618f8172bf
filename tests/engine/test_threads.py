import os

import pytest

from kernelfield.engine import threads
from kernelfield.errors import ArgumentError

pytestmark = pytest.mark.core

NAMES = ("KERNELFIELD_THREADS", "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_QUOTA", tmp_path / "cpu.max")
    yield
    monkeypatch.undo()
    threads.set_threads(None)


def test_who_says_how_many(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)), raising=False)
    assert threads.threads_and_source() == (7, "processors")
    for n, name in enumerate(reversed(NAMES), start=2):
        monkeypatch.setenv(name, str(n))
        assert threads.threads_and_source() == (n, name)
    threads.set_threads(9)
    assert threads.threads_and_source() == (9, "set_threads")
    threads.set_threads(None)
    assert threads.threads() == 3


@pytest.mark.parametrize(
    ("text", "expected"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 7), ("900000 100000", 7), ("", 7)]
)
def test_the_quota_of_a_container(monkeypatch, tmp_path, text, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)), raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert threads.threads() == expected


@pytest.mark.parametrize("bad", [0, -1, 257, 2.0, "2", True])
def test_a_wrong_number_is_refused_and_changes_nothing(bad):
    threads.set_threads(3)
    with pytest.raises(ArgumentError, match="n: expected a number of threads from 1 to 256"):
        threads.set_threads(bad)
    assert threads.threads() == 3


@pytest.mark.parametrize("bad", ["0", "-1", "two", "1.5", "257", "²"])
def test_a_wrong_variable_is_refused(monkeypatch, bad):
    monkeypatch.setenv("KERNELFIELD_THREADS", bad)
    with pytest.raises(ArgumentError, match=r"KERNELFIELD_THREADS: expected .* received .*; unset it"):
        threads.threads()


@pytest.mark.parametrize("text", ["", "0", "many", "²", " , "])
def test_what_others_say_wrongly_is_passed_over(monkeypatch, text):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.threads() == 3
