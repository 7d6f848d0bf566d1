"""The state that operations save: every element carries a tag that says which save and which rank wrote it."""
