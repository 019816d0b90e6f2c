"""
Dictionaries and factorizations
===============================

Data that are combinations of few atoms, with the atoms unknown.
"""

# %%
# An orthogonal dictionary, all at once and online
# ------------------------------------------------
# Patches of a photograph, each a sum of few of 64 atoms. The online method sees each
# patch once and keeps nothing but the dictionary.
import matplotlib.pyplot as plt
import numpy as np

from sparsestat.datasets import load_image_patches
from sparsestat.decomposition import (
    CalibratedSparseFactorization,
    OnlineOrthogonalDictionary,
    OrthogonalDictionary,
    RobustPCA,
    SemiNMF,
    SupervisedDictionaryLearning,
    denoise_image,
)
from sparsestat.plotting import DictionaryDisplay

X = load_image_patches(n_patches=5000, random_state=0).data
whole = OrthogonalDictionary(random_state=0).fit(X)
online = OnlineOrthogonalDictionary(random_state=0).fit(X)
for model in (whole, online):
    codes = X @ model.components_.T
    kept = np.sort(codes**2, axis=1)[:, -8:].sum() / (codes**2).sum()
    print(f"{type(model).__name__:28s}the 8 largest of 64 codes hold {kept:.0%}")
DictionaryDisplay.from_estimator(whole)

# %%
# A photograph without its noise: every patch keeps the codes that stand out.
clean = load_image_patches(n_patches=1, random_state=0).image
rng, norm = np.random.default_rng(0), np.linalg.norm(clean)
noisy = clean + 0.15 * clean.std() * rng.standard_normal(clean.shape)
denoised = denoise_image(noisy, sigma=0.15 * clean.std(), random_state=0)
for name, image in (("noisy", noisy), ("denoised", denoised)):
    print(f"{name:10s}relative error {np.linalg.norm(image - clean) / norm:.3f}")

# %%
# A table with gross errors
# -------------------------
# A matrix of rank two, one entry in twenty of it spoiled by five.
rng = np.random.default_rng(0)
L = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 40))
spoiled = L + 5.0 * (rng.random(L.shape) < 0.05)
model = RobustPCA(random_state=0).fit(spoiled)
print(f"rank {model.rank_}, largest error {np.abs(model.low_rank_ - L).max():.0e}")
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3), layout="constrained")
for ax, values, title in zip(
    axes,
    (spoiled, model.low_rank_, model.sparse_.toarray()),
    ("given", "low rank", "sparse"),
    strict=True,
):
    image = ax.imshow(values, cmap="RdBu_r", vmin=-5, vmax=5, aspect="auto")
    ax.set(title=title, xticks=[], yticks=[])
figure.colorbar(image, ax=axes)
plt.show()

# %%
# Codes that are not negative, codes that know the target, codes of a given size
# ------------------------------------------------------------------------------
# The same sums of three rows with positive weights, by three models:
H, W = rng.random((300, 3)), rng.standard_normal((3, 40))
mixed = H @ W + 0.1 * rng.standard_normal((300, 40))
parts = SemiNMF(3, random_state=0).fit(mixed)
print(f"SemiNMF: error {parts.reconstruction_err_ / np.linalg.norm(mixed):.3f}")

y = (mixed @ W[0] > np.median(mixed @ W[0])).astype(int)
supervised = SupervisedDictionaryLearning(3).fit(mixed, y)
print(f"SupervisedDictionaryLearning: {supervised.score(mixed, y):.1%} right")

short = CalibratedSparseFactorization(30, n_nonzero=2, random_state=0).fit(mixed.T)
error = np.linalg.norm(mixed.T - short.dictionary_ @ short.codes_)
error /= np.linalg.norm(mixed)
print(f"CalibratedSparseFactorization: error {error:.3f} with two entries a code")
