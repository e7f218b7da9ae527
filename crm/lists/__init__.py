"""Lists: declared once per noun, and read, filtered, kept, edited, worked on in bulk and exported by the same code.

A noun declares its columns, the sort keys that stand on an index, its filters and its default views (``accounts.py`` is
the model for others); ``LISTINGS`` names them. Everything shown goes through the noun's ``visible_to``.
"""
