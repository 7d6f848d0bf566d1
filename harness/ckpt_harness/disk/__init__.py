"""What reaches a disk, and what survives a crash: the journal of file operations and the durability models."""
