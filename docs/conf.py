"""Configuration of the documentation; built with warnings as errors, offline."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_ext")]

import sparsestat  # noqa: E402

project = "sparsestat"
author = "The sparsestat developers"
copyright = author
version = release = sparsestat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "api_pages",
    "benchmark_results",
    "bibliography",
    "charts",
    "notebook_pages",
    "offline_links",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "examples", "auto_examples/**.ipynb"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
default_role = "literal"

autosummary_generate = True
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "none"
# Beside a page of the API stand the names of methods, without that of the class.
toc_object_entries_show_parents = "hide"
# Docstrings are validated by docs/validate_docstrings.py, once, and not here.
numpydoc_validation_checks = set()
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "amsmath"]
# Notebooks may begin a part two levels down.
suppress_warnings = ["myst.header"]

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "within_subsection_order": "gallery_order.position",
    "doc_module": ("sparsestat",),
    "backreferences_dir": "gen_modules/backreferences",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "capture_repr": (),
    "write_computation_times": False,
    "min_reported_time": 1_000,
}
# Examples are run for their pictures: a window cannot be shown.
warnings.filterwarnings("ignore", message=".*is non-interactive.*")
os.environ.setdefault("MPLBACKEND", "agg")

html_theme = "pydata_sphinx_theme"
html_title = "sparsestat"
html_static_path = ["_static"]
html_css_files = ["sparsestat.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sparsestat"},
    "show_prev_next": False,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_nav_level": 1,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "friendly",
}
# Single pages have no section to navigate.
html_sidebars = {page: [] for page in ("index", "install", "quick_start", "changelog")}
