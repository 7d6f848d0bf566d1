"""How Sphinx builds the documentation site: ``sphinx-build -W --keep-going -b html docs build/docs``."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "ckpt-harness"
author = "The ckpt-harness authors"
project_copyright = author
release = version = installed_version("ckpt-harness")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]

# Anchors like those that code hosts give headings, so that one link works in both places.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_inherit_docstrings = False

html_theme = "furo"
html_title = "ckpt-harness"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# Console blocks are shown as typed: quotes and dashes stay what they are.
smartquotes = False
