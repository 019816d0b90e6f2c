"""Node embeddings of graphs by very sparse random projection."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.embedding._fastrp import FastRP
from sparsestat.embedding._fastrp_cv import FastRPCV
from sparsestat.embedding._graph import from_edges

__all__ = ["FastRP", "FastRPCV", "from_edges"]
