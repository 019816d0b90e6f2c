"""
Six models of bars
==================

Images of bars that overlap: what happens where they cross decides which model fits.
Each model learns the bars, how often they occur and how much noise there is. Fits can
end in a local optimum: some other seeds find four or five of the six bars.
"""

# %%
# Bars add up, the largest wins, or each has a strength of its own.
import matplotlib.pyplot as plt

from sparsestat.datasets import make_bars
from sparsestat.decomposition import (
    BinarySparseCoding,
    DiscreteSparseCoding,
    MaximalCausesAnalysis,
    MaxMagnitudeCausesAnalysis,
    SpikeSlabSparseCoding,
    TernarySparseCoding,
)

size = {"size": 3, "random_state": 0}
prior = [0.7, 0.2, 0.1]
problems = {
    "binary": (BinarySparseCoding(6, random_state=3), make_bars(500, **size)),
    "ternary": (
        TernarySparseCoding(6, random_state=0),
        make_bars(1000, values=(-1, 0, 1), **size),
    ),
    "discrete": (
        DiscreteSparseCoding(6, values=(0, 1, 2), random_state=3),
        make_bars(1000, values=(0, 1, 2), pi=prior, **size),
    ),
    "spike and slab": (
        SpikeSlabSparseCoding(6, random_state=3),
        make_bars(2000, superposition="slab", sigma=1, **size),
    ),
    "maximum": (
        MaximalCausesAnalysis(6, n_steps=100, random_state=3),
        make_bars(500, superposition="max", **size),
    ),
    "max. magnitude": (
        MaxMagnitudeCausesAnalysis(6, n_steps=100, random_state=3),
        make_bars(500, superposition="max_magnitude", **size),
    ),
}

# %%
# One image of each kind, and the six atoms that were learned: red is positive. Where
# causes have signs, an atom with both signs turned is the same atom.
figure, axes = plt.subplots(6, 7, figsize=(7, 5.6), layout="constrained")
for row, (name, (model, bars)) in zip(axes, problems.items(), strict=True):
    model.fit(bars.data)
    row[0].imshow(bars.data[0].reshape(3, 3), cmap="gray")
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, atom in zip(row[1:], model.components_, strict=True):
        limit = abs(atom).max()
        ax.imshow(atom.reshape(3, 3), cmap="RdBu_r", vmin=-limit, vmax=limit)
    for ax in row:
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_title("an image", fontsize=9)
axes[0, 3].set_title("what was learned", fontsize=9)
plt.show()
