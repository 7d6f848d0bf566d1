"""What runs in the processes of the user's command. Standard library alone, until the program itself imports what is to be watched.

``begin`` puts everything in place, and ``agent`` reports; ``role`` says which rank a process is; ``files``, ``native`` and ``dcp`` see the points; ``desk``
and ``alone`` say what happens there.
"""
