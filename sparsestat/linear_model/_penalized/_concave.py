"""Least squares with MCP or SCAD as a problem."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.linear_model._penalized._concave_path import ConcaveMoments
from sparsestat.linear_model._penalized._penalties import SHAPES, ConcavePenalty

__all__ = ["ConcaveProblem", "check_shape"]


def check_shape(kind, shape):
    """Return gamma or a as a float; refuse what makes one coordinate non-convex."""
    name, _, bound = SHAPES[kind]
    shape = float(shape)
    if not shape > bound:
        raise ValueError(
            f"`{name}` must be above {bound:g}, got {shape}: at and below it the "
            "problem in a single coefficient has several minima. Infinity is the Lasso."
        )
    return shape


class ConcaveProblem(ConcaveMoments):
    """Least squares with MCP or SCAD; the setting is the shape, if none is given."""

    def __init__(
        self,
        kind,
        X,
        y,
        sample_weight=None,
        *,
        shape=None,
        positive=False,
        feature_weights=None,
        **options,
    ):
        super().__init__(X, y, sample_weight, **options)
        self.kind, self.shape, self.positive = kind, shape, positive
        self.feature_weights = feature_weights

    def penalty(self, alpha, setting):
        """Return the penalty of one strength; its concavity follows the columns."""
        return ConcavePenalty(
            self.kind,
            alpha,
            self.shape_of(setting),
            self.design.squares,
            self.total,
            positive=self.positive,
            feature_weights=self.feature_weights,
        )
