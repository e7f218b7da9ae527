"""The nervous system on a page: which handlers deal with which fact."""

HANDLERS: dict[str, tuple[str, ...]] = {}
