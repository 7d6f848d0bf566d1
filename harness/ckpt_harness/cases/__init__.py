"""One case: everything needed to run it once and again, the run itself, and its result.

Read ``run.py`` first: it states the phases of a run as one function. Each phase has a file: ``prepare.py``, ``act.py``, ``look.py``, ``retry.py``,
``read_back.py``. What each rank does meanwhile is in ``rank_program.py``.
"""
