"""Gaussian processes: learned sparse spectra, inducing points, compact kernels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.gaussian_process._compact_gp import CompactGPRegressor
from sparsestat.gaussian_process._deep_kernel_machines import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
)
from sparsestat.gaussian_process._distributed_mixture import (
    DistributedGridSpectralMixtureRegressor,
)
from sparsestat.gaussian_process._grid_spectral_mixture import (
    GridSpectralMixtureRegressor,
)
from sparsestat.gaussian_process._kernel._wendland import WendlandKernel
from sparsestat.gaussian_process._sparse_gp import SparseGPRegressor
from sparsestat.gaussian_process._sparse_gp_classifier import SparseGPClassifier
from sparsestat.gaussian_process._spectral_kernels import GSMKernel, GSMPKernel
from sparsestat.gaussian_process._toeplitz_gp import ToeplitzGPRegressor

__all__ = [
    "CompactGPRegressor",
    "DeepKernelMachineClassifier",
    "DeepKernelMachineRegressor",
    "DistributedGridSpectralMixtureRegressor",
    "GSMKernel",
    "GSMPKernel",
    "GridSpectralMixtureRegressor",
    "SparseGPClassifier",
    "SparseGPRegressor",
    "ToeplitzGPRegressor",
    "WendlandKernel",
]
