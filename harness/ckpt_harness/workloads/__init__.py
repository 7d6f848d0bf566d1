"""The state that operations save: every element carries a tag that identifies the save and the rank that wrote it."""
