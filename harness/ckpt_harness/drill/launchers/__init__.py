"""What starts the user's command: ``base`` is the protocol, with one file for each implementation."""
