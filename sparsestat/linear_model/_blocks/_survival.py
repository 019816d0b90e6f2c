"""Cox models on rows in blocks: what is gathered of the target before anything else."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.moments import check_width
from sparsestat.linear_model._cv import block_folds
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._penalized._block_survival import (
    BlockCoxProblem,
    SurvivalRows,
    survival_outline,
)
from sparsestat.linear_model._penalized._survival_targets import (
    survival_target,
    with_events,
)

__all__ = ["BlockCoxMixin"]


def _gathered(block, numbers):
    """Return the outline of a block, and lists of its targets, weights and rows."""
    if block.y is None:
        raise ValueError(
            "Cox models require y to be passed, but the target y is None. Pass it to "
            "fit or row_blocks, as an array, names of columns, or in the blocks."
        )
    y = with_events(survival_target(block.y))
    if not np.isfinite(y).all():
        raise ValueError("Input y contains NaN or infinity.")
    outline = survival_outline(block, np.ones(len(y), dtype=bool))
    return outline, [y], [block.weights], [numbers]


def _joined(a, b):
    outline, *lists = (
        x.merged(y) if k == 0 else x + y
        for k, (x, y) in enumerate(zip(a, b, strict=True))
    )
    return outline, *lists


class BlockCoxMixin:
    """Fits a partial likelihood on rows in blocks."""

    def _block_survival(self, blocks, *, offset, strata, groups=None, n_jobs=None):
        """Return the problem of all rows, with their folds if these are asked for."""
        check_width(type(self).__name__, blocks.n_features)
        n = blocks.n_samples
        found, y, weights, at = blocks.reduce(
            _gathered, _joined, rows=np.arange(n), n_jobs=n_jobs,
            description="times", verbose=self.verbose,
        )  # fmt: skip
        if len({part.shape[1] for part in y}) > 1:
            raise ValueError(
                "Some blocks of y have the columns time and event, others have entries "
                "too. Pass the same columns in all blocks."
            )
        if all(w is None for w in weights):
            weights = None
        else:
            sizes = map(len, y)
            weights = [
                np.ones(n) if w is None else w
                for n, w in zip(sizes, weights, strict=True)
            ]
            weights = np.concatenate(weights)
        y, at = np.concatenate(y), np.concatenate(at)
        rows = {"offset": offset, "strata": strata}
        rows = {k: None if v is None else np.asarray(v) for k, v in rows.items()}
        rows = self._checked_rows(rows, range(n))
        folds = None
        if getattr(self, "criterion", None) == "cv":
            folds = block_folds(self.cv, n, groups)[at]
        survival = SurvivalRows(
            blocks,
            at,
            y,
            weights,
            rows["offset"][at] if "offset" in rows else None,
            rows["strata"][at] if "strata" in rows else None,
            folds,
        )
        return BlockCoxProblem(
            survival,
            found,
            ties=self.ties,
            penalty=self._spec(blocks.n_features),
            n_jobs=n_jobs,
            verbose=self.verbose,
            **solver_options(self),
        )
