"""A machine of a Ray cluster dies, and the trial that it trained goes on elsewhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny_runs import config, wait_for, write_rows
from tunery.execution.ray_tasks import RayTasks
from tunery.execution.runner import Epoch, Job, Outcome
from tunery.store.disk.lock import holder
from tunery.store.folder import RunFolder

pytestmark = pytest.mark.service


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster whose head trains nothing."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    room = {"object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **room})
    ray.init(address=cluster.address, log_to_driver=False)
    yield lambda: cluster.add_node(num_cpus=1, **room), cluster.remove_node
    ray.shutdown()
    cluster.shutdown()


def test_a_trial_goes_on_elsewhere(machines: Any, tiny_bert: Path, tmp_path: Path) -> None:
    add, remove = machines
    first, tasks, heard = add(), RayTasks(gpus_per_trial=0), list[int]()
    train = {"epochs": 3, "batch_size": 8, "early_stopping": None}
    given = config(str(tiny_bert), write_rows(tmp_path), train=train, checkpoint={"min_free": 0})
    job = Job(given, tmp_path / "study" / "trials" / "0", tmp_path / "study", "trial 0")

    def prune(epoch: Epoch) -> None:
        heard.append(epoch.number)
        if heard == [1, 2]:
            trained_by = holder(job.folder)
            add()
            remove(first, allow_graceful=False)
            assert trained_by and wait_for(lambda: not Path(f"/proc/{trained_by.pid}").exists(), 60)

    assert tasks.run(job, prune=prune, stop=lambda: None) == Outcome("completed")
    assert heard == [1, 2, 2, 3]
    result = RunFolder(job.folder).result()
    assert result is not None and result.epochs == 3
    tasks.close()
