"""What stands on invoices, credit notes and receipts, in words and figures of the reader's language, and its setting.

Every word is made in Python, so that one template serves all languages; the templates lay out, and say nothing.
"""
