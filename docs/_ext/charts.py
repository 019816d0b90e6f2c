"""Charts that are drawn as SVG in the page: they follow its colors and can be linked.

The directive ``chart`` takes a name: ``which_method``, from a task to its methods, or
``blocks``, how a fit passes over data in blocks. The first one is drawn twice, for wide
and for narrow screens; the style sheet shows one of them.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import textwrap
from html import escape

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

# Task; condition, methods, page of the user guide and, where one is meant, its section.
METHODS = (
    (
        "A number to predict, many features",
        (
            ("few of them matter", "LassoCV, ElasticNetCV", "sparse_regression"),
            (
                "large effects must not shrink",
                "MCPRegressorCV, SCADRegressorCV",
                "nonconvex_and_groups",
            ),
            (
                "features come in groups",
                "GroupLassoCV, SlopeCV",
                "nonconvex_and_groups",
            ),
            ("exactly k of them", "BestSubsetRegressor", "hard_regression"),
            (
                "some are nearly copies of others",
                "RandomSupportRegressor",
                "hard_regression",
            ),
            (
                "no penalty to choose",
                "SBLRegressor, KroneckerSBL",
                "sparse_bayesian_learning",
            ),
            (
                "few features, error bars",
                "SparseGPRegressor, CompactGPRegressor",
                "gaussian_processes",
            ),
            (
                "nobody may see the records",
                "LDPSparseRegressor",
                "private_regression",
            ),
        ),
    ),
    (
        "A class, a count, a survival time",
        (
            (
                "few features matter",
                "SparseLogisticRegressionCV, SparsePoissonRegressorCV, "
                "SparseCoxRegressorCV",
                "glm",
            ),
            ("outliers in the target", "SparseHuberRegressorCV", "glm"),
            ("few labels, and a graph", "GraphLabelPropagation", "greedy_bcd"),
            ("slanted borders, many rows", "RotationForestClassifier", "ensembles"),
        ),
    ),
    (
        "Which features to believe",
        (
            ("so many false ones", "StabilitySelection", "inference"),
            ("a share of false ones", "KnockoffSelector", "inference"),
            ("intervals, p-values", "DebiasedLasso", "inference"),
        ),
    ),
    (
        "Groups to find",
        (
            ("is it the optimum?", "kmeans_certificate, SDPKMeans", "clustering"),
            ("given sizes", "BalancedKMeans", "clustering"),
            ("a few labels", "LaplacianKMeans", "clustering"),
            ("subspaces", "CodingRateSubspaceClustering", "clustering"),
            (
                "how many, if any",
                "ProbabilisticPartitivePartitioning",
                "clustering",
            ),
        ),
    ),
    (
        "Two samples to compare or match",
        (
            (
                "costs, points, other masses",
                "sinkhorn, sinkhorn_points, OptimalTransport",
                "optimal_transport",
            ),
            (
                "labels in the other sample",
                "DomainAdaptationClassifier",
                "optimal_transport",
            ),
        ),
    ),
    (
        "Parts that samples are made of",
        (
            (
                "atoms, of which few are used",
                "OrthogonalDictionary",
                "dictionaries_and_factorizations",
            ),
            (
                "a low rank, and gross errors",
                "RobustPCA",
                "dictionaries_and_factorizations",
            ),
            (
                "causes that overlap",
                "BinarySparseCoding and its relatives",
                "probabilistic_sparse_coding",
            ),
            (
                "a matrix in fewer bits",
                "quantize_rows, SemiStructuredFactorization",
                "compression",
            ),
        ),
    ),
    (
        "A graph, or many sparse vectors",
        (
            ("vectors for nodes", "FastRP", "sparse_kernels_and_embeddings"),
            (
                "the nearest of many",
                "SparseNeighbors, FixedDimensionalEncoder",
                "retrieval",
            ),
        ),
    ),
)


def text(x, y, lines, kind, anchor="start"):
    """Return lines of text, the middle of which stands at y."""
    top = y - 8.5 * (len(lines) - 1)
    return "".join(
        f'<text x="{x}" y="{top + 17 * k:g}" class="{kind}" text-anchor="{anchor}" '
        f'dominant-baseline="central">{escape(line)}</text>'
        for k, line in enumerate(lines)
    )


def box(x, y, width, height, kind):
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" '
        f'class="{kind}"/>'
    )


def arrow(points, head=True):
    path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
    end = ' marker-end="url(#chart-head)"' if head else ""
    return f'<path d="{path}" class="edge"{end}/>'


def svg(width, height, parts, kind, label):
    head = (
        '<defs><marker id="chart-head" viewBox="0 0 8 8" refX="8" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" '
        'class="head"/></marker></defs>'
    )
    return (
        f'<svg class="chart {kind}" viewBox="-1 -1 {width + 2} {height + 2}" '
        f'role="group" aria-label="{escape(label)}" '
        f'style="max-width:{width}px">{head}{"".join(parts)}</svg>'
    )


LABEL = "Which method: from a task, by what is special about it, to classes"


def wide(folder):
    """Three columns: the task, what is special about it, the methods."""
    parts, y, row, gap = [], 0, 42, 16
    for task, cases in METHODS:
        height = row * len(cases)
        middle = y + height / 2
        parts.append(box(0, y + 2, 200, height - 4, "task"))
        parts.append(text(100, middle, textwrap.wrap(task, 20), "strong", "middle"))
        for k, (condition, methods, page) in enumerate(cases):
            at = y + row * (k + 0.5)
            parts.append(arrow([(200, middle), (220, middle), (220, at), (240, at)]))
            parts.append(box(240, at - 17, 250, 34, "case"))
            parts.append(text(252, at, [condition], "plain"))
            parts.append(arrow([(490, at), (520, at)]))
            parts.append(f'<a href="{folder}{page}.html">')
            parts.append(box(520, at - 17, 380, 34, "method"))
            lines = textwrap.wrap(methods, 46)
            parts.append(text(532, at, lines, "name") + "</a>")
        y += height + gap
    return svg(900, y - gap, parts, "wide", LABEL)


def narrow(folder):
    """One column: below each task what is special about it, and the methods."""
    parts, y = [], 0
    for task, cases in METHODS:
        parts.append(box(0, y, 360, 36, "task"))
        parts.append(text(12, y + 18, [task], "strong"))
        start, y = y + 36, y + 44
        for condition, methods, page in cases:
            lines = textwrap.wrap(methods, 38)
            height = 34 + 17 * len(lines)
            at = y + height / 2
            parts.append(arrow([(12, start), (12, at), (28, at)]))
            parts.append(f'<a href="{folder}{page}.html">')
            parts.append(box(28, y, 332, height, "method"))
            parts.append(text(40, y + 17, [condition], "plain"))
            parts.append(text(40, y + 34 + 8.5 * (len(lines) - 1), lines, "name"))
            parts.append("</a>")
            y += height + 8
        y += 10
    return svg(360, y - 18, parts, "narrow", LABEL)


def blocks(folder):
    """Blocks of rows go to workers; sums come back; the model asks for a pass again."""
    parts = []
    for k in range(3):
        y = 52 * k
        parts.append(box(0, y, 92, 40, "case"))
        parts.append(text(46, y + 20, [f"block {k + 1}"], "plain", "middle"))
        parts.append(arrow([(92, y + 20), (112, y + 20)]))
        parts.append(box(112, y, 92, 40, "case"))
        parts.append(text(158, y + 20, ["worker"], "plain", "middle"))
        parts.append(arrow([(204, y + 20), (216, y + 20), (216, 72), (232, 72)]))
    parts.append(box(232, 40, 128, 64, "task"))
    parts.append(text(296, 72, ["sums, merged", "in one order"], "strong", "middle"))
    parts.append(arrow([(296, 104), (296, 158)]))
    parts.append(box(232, 158, 128, 40, "method"))
    parts.append(text(296, 178, ["coefficients"], "strong", "middle"))
    parts.append(arrow([(232, 178), (158, 178), (158, 144)]))
    parts.append(text(78, 178, ["the next pass"], "plain", "middle"))
    label = (
        "Blocks of rows go to workers, sums come back and are merged in one order, new "
        "coefficients go out for the next pass"
    )
    return svg(360, 198, parts, "", label)


CHARTS = {
    "which_method": lambda folder: wide(folder) + narrow(folder),
    "blocks": blocks,
}


class Chart(SphinxDirective):
    """Insert a chart of `CHARTS` by its name."""

    required_arguments = 1

    def run(self):
        # Pages of the user guide stand beside each other.
        folder = "" if self.env.docname.startswith("user_guide/") else "user_guide/"
        drawing = CHARTS[self.arguments[0]](folder)
        return [nodes.raw("", f'<div class="chart">{drawing}</div>', format="html")]


def setup(app):
    app.add_directive("chart", Chart)
    return {"parallel_read_safe": True}
