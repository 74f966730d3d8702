"""The published schema is whole."""

import json

from tunery.schema.config.run import RunConfig
from tunery.schema.describe import (
    config_markdown,
    config_schema,
    record_markdown,
    record_schema,
    space_document,
    space_markdown,
)
from tunery.schema.reading.fields import members, written_name
from tunery.schema.results.comparison import ComparisonResult
from tunery.schema.results.run import RunResult
from tunery.schema.results.study import StudyResult
from tunery.schema.space.yaml_file import default_space


def test_every_section_and_choice_is_documented() -> None:
    page = config_markdown({})
    for section, field in RunConfig.model_fields.items():
        assert f"## {section}\n" in page or f"| `{section}` |" in page
        for choice in filter(None, map(written_name, members(field).values())):
            assert f"### {section}: {choice}\n" in page
    row = "| `optim.lr` | a number > 0 and <= 1,000, or null | `null` | 5e-06 to 0.3, logarithmic | Peak learning rate;"
    assert row in page


def test_a_choice_says_what_a_study_chooses_among() -> None:
    page = config_markdown({})
    assert "Choices of `peft.method`: `full`, `lora`," in page
    assert '\n\nSearched: `"full"`, `"lora"`,' in page
    assert '\n| `train.epochs` | a whole number >= 1 and <= 100, or auto | `"auto"` | 1 to 10 |' in page
    assert "`tunery schema space`" in page


def test_nothing_is_called_searched_that_a_study_does_not_open() -> None:
    page, space = config_markdown({}), space_document()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    searched = {row[0].strip("| `").partition(".")[0] for row in rows if row[3].strip()}
    assert "peft" in searched and searched <= set(space)
    headings = [part.partition("\n")[0].strip("# ") for part in page.split("\n#") if "\nSearched: " in part]
    assert "peft" in headings and {heading.partition(".")[0] for heading in headings} <= set(space)


def test_the_default_space_as_plain_data_and_as_a_page() -> None:
    assert space_document()["train"]["epochs"] == {"low": 1, "high": 10}
    assert space_markdown() == f"# The default space\n\n```yaml\n{default_space()}```\n"


def test_a_picture_stands_under_the_heading_of_its_choice() -> None:
    page = config_markdown({("schedule", "cosine"): "/\\"})
    assert "\n### schedule: cosine\n" in page and page.count("```") == 2
    assert (
        page.index("### schedule: cosine\n") < page.index("```text\n/\\\n```\n") < page.index("### schedule: cosine_re")
    )


def test_json_schemas_are_plain_json_with_the_words_of_the_fields() -> None:
    config = json.loads(json.dumps(config_schema()))
    assert config["required"] == ["task", "data"]
    assert config["properties"]["seed"]["description"] == "Every random choice of the run is keyed by it."
    assert config["$defs"]["Lora"]["additionalProperties"] is False
    assert set(record_schema("result")["properties"]) == set(RunResult.model_fields)
    assert set(record_schema("study")["properties"]) == set(StudyResult.model_fields)
    assert set(record_schema("comparison")["properties"]) == set(ComparisonResult.model_fields)
    schemas = (config_schema(), *map(record_schema, ("result", "study", "comparison", "storage")))
    assert all("$schema" in schema for schema in schemas)


def test_records_are_documented_with_the_records_inside_them() -> None:
    assert {"## Objective\n", "## SplitRecord\n"} <= {f"{line}\n" for line in record_markdown("result").splitlines()}
    assert "## TrialRecord\n" in record_markdown("study")
    assert "## MethodSummary\n" in record_markdown("comparison")
