"""Sphinx's settings for `make docs`: the pages of this folder, and the functions' own descriptions."""

import keras_mobattn

project = "keras_mobattn"
author = "the authors of keras_mobattn"
version = release = keras_mobattn.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # tests/test_docs.py runs the notebook
myst_heading_anchors = 3
default_role = "code"  # in docstrings `x` is code, as in Markdown
autodoc_inherit_docstrings = False  # those of Keras are in another language
autodoc_member_order = "bysource"
napoleon_use_ivar = True
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = f"keras_mobattn {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
