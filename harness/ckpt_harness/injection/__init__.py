"""Makes faults happen: the injector and the wrappers around storages, planners, files and HTTP. Imports no world: wrappers work under any launcher."""
