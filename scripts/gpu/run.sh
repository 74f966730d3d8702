#!/usr/bin/env bash
# What needs a GPU, in one go: the tests that train or build models, on the card, those marked `gpu` among them; then
# the table of methods.
#   usage: scripts/gpu/run.sh DATA TOKENIZER RESULTS [SECONDS_FOR_TESTS]    (folders; the first two as for methods.py)
# For a machine whose environment has tunery's dependencies. About five minutes on an H100 with 16 cores.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=$1 tokenizer=$2 results=$3 seconds=${4:-240}
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
mkdir -p "$results"
nvidia-smi -L
# Interrupted after its time, pytest still prints what failed. Tests of services need programs of their own.
OMP_NUM_THREADS=1 timeout -s INT "$seconds" python3 -m pytest -n 14 -vv --tb=short -o filterwarnings=default \
  -m 'not slow and not network and not service' -p no:cacheprovider --ignore tests/hpo/storage/test_hpo_postgres.py \
  --ignore tests/contracts/test_contract_storages.py \
  tests/train tests/execution tests/comparison tests/hpo tests/model tests/contracts tests/optim tests/test_*.py > "$results/suite.log" 2>&1
grep -aoE '^(FAILED|ERROR) .*|^=+ .*(passed|failed).*' "$results/suite.log" | cut -c1-200 | sort -u
timeout 200 python3 scripts/gpu/methods.py --data "$data" --tokenizer "$tokenizer" --rounds "${ROUNDS:-2}" \
  > "$results/methods.log" 2> "$results/methods.err"
tail -n 3 "$results/methods.err"
cat "$results/methods.log"
