"""The life of a job: sequences of operations with restarts between them, and what each operation owes after the operations before it."""
