"""How many cores may be kept busy: the quotas of control groups, as files that say so."""

import pytest
from helpers import JIT, same_bits, uneven

import fastsoftmax as fs
from fastsoftmax import _cores, _threads
from fastsoftmax.cli.warmup import default_jobs


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """groups(membership, {file: content}): such control groups, of which nothing has been read yet."""

    def make(membership, files):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (tmp_path / "membership").write_text(membership)
        monkeypatch.setattr(_cores, "CGROUPS", tmp_path)
        monkeypatch.setattr(_cores, "MEMBERSHIP", tmp_path / "membership")
        _cores.quota_cores.cache_clear()

    yield make
    _cores.quota_cores.cache_clear()


V1 = {"cpu,cpuacct/a/cpu.cfs_quota_us": "150000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"}
CASES = {
    "no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    "a container": ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
    "a group": ("0::/user/job\n", {"user/job/cpu.max": "200000 100000\n"}, 2.0),
    "a group around it": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3.0),
    "the least of several": ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "100000 100000\n"}, 1.0),
    "the path of a host": ("0::/docker/0123\n", {"cpu.max": "250000 100000\n"}, 2.5),
    "outside its namespace": ("0::/../b\n", {"b/cpu.max": "100000 100000\n"}, 1.0),
    "version 1": ("3:cpuset:/\n4:cpu,cpuacct:/a\n1:name=systemd:/x\n0::/\n", V1, 1.5),
    "version 1, no limit": ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    "nonsense": ("\n::\n0\n0::/\n", {"cpu.max": "many few\n"}, None),
    "empty": ("", {"cpu.max": ""}, None),
    "a period of nothing": ("0::/\n", {"cpu.max": "100000 0\n"}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_quota_is_read(case, groups):
    membership, files, expected = CASES[case]
    groups(membership, files)
    assert _cores.quota_cores() == expected


def test_where_there_are_no_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(_cores, "MEMBERSHIP", tmp_path / "none")
    _cores.quota_cores.cache_clear()
    assert _cores.quota_cores() is None
    _cores.quota_cores.cache_clear()


@pytest.mark.parametrize(("quota", "expected"), [("100000", 1), ("30000", 1), ("250000", 3), ("900000", 4), ("max", 4)])
def test_no_more_threads_than_the_quota_has_time_for(quota, expected, groups, monkeypatch):
    monkeypatch.setattr(_cores, "allowed_cores", lambda: 4)
    monkeypatch.setattr(_threads.config, "NUMBA_NUM_THREADS", 64)
    groups("0::/\n", {"cpu.max": f"{quota} 100000\n"})
    assert fs.get_num_threads() == default_jobs() == expected
    with fs.num_threads(3):  # but what is asked for
        assert fs.get_num_threads() == 3
    if JIT:
        monkeypatch.setattr(_threads, "_team", _threads._Team())
        logits = uneven((60, 1000))
        assert same_bits(fs.softmax(logits), fs.softmax(logits.copy()))
        assert _threads._team.n_helpers == expected - 1
        _threads._team.dismiss()


MEMORY = {
    "no limit": ("0::/\n", {"memory.max": "max\n"}, None),
    "a group around it": ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "1000000\n"}, 10**6),
    "version 1": ("4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "2000000\n"}, 2 * 10**6),
    "version 1, no limit": ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
    "nonsense": ("0::/\n", {"memory.max": "much\n"}, None),
}


@pytest.mark.parametrize("case", MEMORY)
def test_memory_is_that_of_the_machine_or_of_the_group(case, groups):
    groups("", {})
    machine = _cores.usable_memory()
    assert machine > 10**8
    membership, files, expected = MEMORY[case]
    groups(membership, files)
    assert _cores.usable_memory() == (expected or machine)
