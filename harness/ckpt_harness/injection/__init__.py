"""Makes faults happen. Imports no world, so the wrappers work under any launcher.

A call of the engine takes this way: a wrapper (``storage``, ``planner``, ``stateful``, ``filesystem`` with ``streams``, ``object_store``) reports the
call to the ``injector``; ``arrival`` counts the call and finds the fault that strikes it; the injector acts. ``patching`` puts the wrappers around code
that hides its storage.
"""
