"""Inputs made by the grammar of what is read, and then spoilt; what was once found is kept (corpus.json)."""
