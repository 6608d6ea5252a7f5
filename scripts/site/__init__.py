"""The documentation site: the pages of the repository, and a reference that is generated from the package.

``python -m scripts.site`` stages all pages as plain Markdown, and then mkdocs builds them. So no page depends on the
builder, and every error of a link is found in one strict build.
"""
