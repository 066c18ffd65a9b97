"""Video-KTR: learn from the tokens that vision, order or uncertainty decide.

Wang et al. 2026 (arXiv 2601.19686, ICLR 2026) and its released code: of a group's tokens,
keep the union of the top 20 % by entropy, by log pi(shown) - log pi(video hidden), and by
log pi(shown) - log pi(frames shuffled); the loss runs over kept tokens only. Images have no
third signal. Shown and hidden log-probs are of the same tokens under the same policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def key_tokens(
    signals: Mapping[str, Sequence[np.ndarray]], shares: Mapping[str, float]
) -> list[np.ndarray]:
    """bool (L_i,) for each of a group's completions: which tokens are kept.

    A signal keeps what reaches the (1 - share) quantile of all the group's tokens, ties
    included, as ``torch.quantile`` does in the released code.

    Args:
        signals: by name, float (L_i,) per completion.
        shares: by the same names, the share to keep; 0 for none.
    """
    masks = [np.zeros(len(values), bool) for values in next(iter(signals.values()))]
    for name, rows in signals.items():
        if not shares[name]:
            continue
        threshold = np.quantile(np.concatenate(rows), 1 - shares[name])
        masks = [m | (row >= threshold) for m, row in zip(masks, rows, strict=True)]
    return masks
