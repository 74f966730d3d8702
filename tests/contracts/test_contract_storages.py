"""The database of a study, against the suite that optuna has for storages."""

import gc
from collections.abc import Callable, Iterator
from typing import Final

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from tunery.hpo.storage.database import backend, close_study, open_study, sqlite_url

pytest_plugins = ["postgres_server"]

LAYERS: Final[dict[str, Callable[[optuna.Study], BaseStorage]]] = {
    "cached": lambda study: study._storage,
    "lean": backend,
}
"""What optuna's own calls go through, and what is below it."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.service)])
def study(request: pytest.FixtureRequest) -> Iterator[optuna.Study]:
    if request.param == "sqlite":
        url = sqlite_url(request.getfixturevalue("tmp_path_factory").mktemp("study"))
    else:
        url = request.getfixturevalue("new_database")()
    study = open_study(url, name="first", directions=["maximize"])
    yield study
    close_study(study)
    gc.collect()  # what the suite leaves open: connections of its threads, and of a storage that it unpickles


@pytest.mark.parametrize("layer", ["lean", pytest.param("cached", marks=pytest.mark.service)])
@pytest.mark.filterwarnings("ignore:.* was deleted while still open:ResourceWarning")
class TestStorage(StorageTestCase):
    """The tests share a database and begin without any study: to make one takes longer than most of them."""

    @pytest.fixture
    def storage(self, study: optuna.Study, layer: str) -> BaseStorage:
        storage = LAYERS[layer](study)
        for known in storage.get_all_studies():
            storage.delete_study(known._study_id)
        return storage
